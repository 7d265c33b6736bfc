/** The REST client. Every answer is parsed with the protocol's schema; every failure is an `ApiError`. Knows no cache. */
import {
  type ActivateImageRequest,
  type BranchList,
  type BuildAccepted,
  type BuildList,
  type BuildView,
  branchListSchema,
  buildAcceptedSchema,
  buildListSchema,
  buildViewSchema,
  type ChangePromptRequest,
  type ChangeSessionRequest,
  type CreatePromptRequest,
  type CreateSessionRequest,
  type ErrorCode,
  errorBodySchema,
  type ImageList,
  type ImageSettings,
  type ImageState,
  type Insights,
  imageListSchema,
  imageStateSchema,
  insightsSchema,
  type LoggedOut,
  loggedOutSchema,
  type Me,
  meSchema,
  type PoolView,
  type PromptView,
  type PullRequestRequest,
  poolViewSchema,
  promptAnswerSchema,
  type RepositoryList,
  type RepositoryRef,
  type Reservation,
  type ReserveSessionRequest,
  repositoryListSchema,
  reservationSchema,
  type SessionList,
  type SessionSettings,
  type SessionView,
  type SightingList,
  sessionListSchema,
  sessionViewSchema,
  sightingListSchema,
} from "@open-inspect/protocol";
import { type ZodType, z } from "zod";
import { type SessionFilters, sessionQuery } from "./session-filters.ts";

const readDeadlineMs = 15_000;
const writeDeadlineMs = 30_000;
/** A first screen of history, and enough of it for a chart. */
const buildsPerPage = 30;
const shownSightings = 20;
/** Long enough for a quiet repository, short enough to be about now. */
const insightDays = 30;
/** An answer of which only the failure matters. */
const anything = z.unknown();

/** What went wrong in a sentence and what to do about it. `status` is 0 when no answer came. */
export class ApiError extends Error {
  readonly code: ErrorCode | "network" | "timeout" | "bad_answer";
  readonly hint: string;
  readonly status: number;

  constructor(code: ApiError["code"], message: string, hint: string, status: number) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.hint = hint;
    this.status = status;
  }
}

/** Any thrown value as something that a page can show. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError("internal", message, "Reload the page. If it stays, look at the browser's console.", 0);
}

async function parseFailure(response: Response): Promise<ApiError> {
  const body = errorBodySchema.safeParse(await response.json().catch(() => null));
  if (body.success) {
    const { code, message, hint } = body.data.error;
    return new ApiError(code, message, hint, response.status);
  }
  return new ApiError(
    "bad_answer",
    `The server answered with status ${response.status} and no explanation.`,
    "Try again. If it stays, look at the server's log.",
    response.status,
  );
}

export interface Api {
  /** who asks; answered to nobody as well */
  readMe(signal?: AbortSignal): Promise<Me>;
  logOut(): Promise<LoggedOut>;
  /** Hears of each answer that only somebody who is logged in would have had. @returns what ends it */
  onLoginWanted(listener: () => void): () => void;
  /** For whoever was refused without a reason, as a browser's socket is: asks who is logged in, and tells when that is nobody. */
  confirmLogin(): Promise<void>;
  listRepositories(signal?: AbortSignal): Promise<RepositoryList>;
  listBranches(repository: RepositoryRef, signal?: AbortSignal): Promise<BranchList>;
  putImage(repository: RepositoryRef, enabled: boolean): Promise<ImageState>;
  requestBuild(repository: RepositoryRef): Promise<BuildAccepted>;
  putImageSettings(repository: RepositoryRef, settings: ImageSettings): Promise<ImageState>;
  deletePin(repository: RepositoryRef): Promise<ImageState>;
  /** who saw each head first, newest first */
  listSightings(repository: RepositoryRef, signal?: AbortSignal): Promise<SightingList>;
  listImages(repository: RepositoryRef, signal?: AbortSignal): Promise<ImageList>;
  activateImage(id: string, request: ActivateImageRequest): Promise<ImageState>;
  /** @param before the `next` of an earlier page; null for the first */
  listBuilds(repository: RepositoryRef, before: string | null, signal?: AbortSignal): Promise<BuildList>;
  getBuild(id: string, signal?: AbortSignal): Promise<BuildView>;
  cancelBuild(id: string): Promise<BuildAccepted>;
  /** where the browser downloads what a build has printed */
  buildLogAddress(id: string): string;
  /** @param repository null: of all repositories */
  readInsights(repository: RepositoryRef | null, signal?: AbortSignal): Promise<Insights>;
  /** @param before the `next` of an earlier page; null for the first */
  listSessions(filters: SessionFilters, before: string | null, signal?: AbortSignal): Promise<SessionList>;
  getSession(id: string, signal?: AbortSignal): Promise<SessionView>;
  createSession(request: CreateSessionRequest): Promise<SessionView>;
  /** a sandbox for the session that somebody is typing the first prompt of */
  reserveSession(request: ReserveSessionRequest): Promise<Reservation>;
  releaseReservation(id: string): Promise<unknown>;
  /** what a repository sets for its sessions, and its warm pool */
  readPool(repository: RepositoryRef, signal?: AbortSignal): Promise<PoolView>;
  putSessionSettings(repository: RepositoryRef, settings: SessionSettings): Promise<PoolView>;
  /** What a session becomes is told by its socket: of these answers only the failures are read. */
  stopSession(id: string): Promise<unknown>;
  resumeSession(id: string): Promise<unknown>;
  archiveSession(id: string): Promise<unknown>;
  restoreSession(id: string): Promise<unknown>;
  changeSession(id: string, request: ChangeSessionRequest): Promise<unknown>;
  /** runs the refresh script, or setup where there is none, beside the agent */
  refreshSession(id: string): Promise<unknown>;
  requestPullRequest(id: string, request: PullRequestRequest): Promise<unknown>;
  /** the same `id` in the request again changes nothing and answers the same */
  createPrompt(id: string, request: CreatePromptRequest): Promise<PromptView>;
  changePrompt(id: string, promptId: string, request: ChangePromptRequest): Promise<PromptView>;
  /** takes back one that waits */
  cancelPrompt(id: string, promptId: string): Promise<unknown>;
  /** ends the one that runs */
  stopPrompt(id: string, promptId: string): Promise<unknown>;
  /** where the browser reads an attachment's bytes */
  attachmentAddress(id: string, attachmentId: string): string;
}

/**
 * @param fetch the browser's `fetch` or one with its shape
 * @param base where the API is, without a slash at the end
 */
export function createApi(fetch: typeof globalThis.fetch, base = "/api"): Api {
  const loginListeners = new Set<() => void>();
  let confirming: Promise<void> | null = null;

  async function call<T>(schema: ZodType<T>, path: string, method: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const deadline = AbortSignal.timeout(method === "GET" ? readDeadlineMs : writeDeadlineMs);
    let response: Response;
    try {
      response = await fetch(`${base}${path}`, {
        method,
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
        headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      if (deadline.aborted) {
        throw new ApiError("timeout", "The server did not answer in time.", "Try again in a moment.", 0);
      }
      throw new ApiError(
        "network",
        "The server cannot be reached.",
        "Check that it runs and that you are online, then try again.",
        0,
      );
    }
    if (response.status === 401) wantLogin();
    if (!response.ok) throw await parseFailure(response);
    const answer: unknown = await response.json().catch(() => null);
    // Nobody waits for an answer that was cut off by leaving the page.
    signal?.throwIfAborted();
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    console.error(`${method} ${path}: not what the protocol says`, parsed.error);
    throw new ApiError(
      "bad_answer",
      "The server's answer is not one that this page understands.",
      "Reload the page: a newer version may have been deployed.",
      response.status,
    );
  }

  function wantLogin(): void {
    for (const listener of loginListeners) listener();
  }

  const readMe = (signal?: AbortSignal) => call(meSchema, "/me", "GET", undefined, signal);

  async function askWho(): Promise<void> {
    try {
      if ((await readMe()).via === null) wantLogin();
    } catch {
      // Who cannot be asked says nothing of the login.
    } finally {
      confirming = null;
    }
  }

  const fullName = ({ owner, name }: RepositoryRef) => `${owner}/${name}`;
  const of = (repository: RepositoryRef) =>
    `/repositories/${encodeURIComponent(repository.owner)}/${encodeURIComponent(repository.name)}`;
  const session = (id: string) => `/sessions/${encodeURIComponent(id)}`;
  const prompt = (id: string, promptId: string) => `${session(id)}/prompts/${encodeURIComponent(promptId)}`;

  return {
    readMe,
    logOut: () => call(loggedOutSchema, "/auth/logout", "POST"),
    onLoginWanted(listener) {
      loginListeners.add(listener);
      return () => void loginListeners.delete(listener);
    },
    confirmLogin() {
      confirming ??= askWho();
      return confirming;
    },
    listRepositories: (signal) => call(repositoryListSchema, "/repositories", "GET", undefined, signal),
    listBranches: (repository, signal) => call(branchListSchema, `${of(repository)}/branches`, "GET", undefined, signal),
    putImage: (repository, enabled) => call(imageStateSchema, `${of(repository)}/image`, "PUT", { enabled }),
    requestBuild: (repository) => call(buildAcceptedSchema, `${of(repository)}/image/builds`, "POST"),
    putImageSettings: (repository, settings) => call(imageStateSchema, `${of(repository)}/image/settings`, "PUT", settings),
    deletePin: (repository) => call(imageStateSchema, `${of(repository)}/image/pin`, "DELETE"),
    listSightings: (repository, signal) =>
      call(sightingListSchema, `${of(repository)}/sightings?limit=${shownSightings}`, "GET", undefined, signal),
    listImages: (repository, signal) =>
      call(imageListSchema, `/images?${new URLSearchParams({ repository: fullName(repository) })}`, "GET", undefined, signal),
    activateImage: (id, request) => call(imageStateSchema, `/images/${encodeURIComponent(id)}/activate`, "POST", request),
    listBuilds: (repository, before, signal) => {
      const query = { repository: fullName(repository), limit: String(buildsPerPage), ...(before === null ? {} : { before }) };
      return call(buildListSchema, `/builds?${new URLSearchParams(query)}`, "GET", undefined, signal);
    },
    getBuild: (id, signal) => call(buildViewSchema, `/builds/${encodeURIComponent(id)}`, "GET", undefined, signal),
    cancelBuild: (id) => call(buildAcceptedSchema, `/builds/${encodeURIComponent(id)}/cancel`, "POST"),
    buildLogAddress: (id) => `${base}/builds/${encodeURIComponent(id)}/logs.txt`,
    readInsights: (repository, signal) => {
      const query = { days: String(insightDays), ...(repository === null ? {} : { repository: fullName(repository) }) };
      return call(insightsSchema, `/insights?${new URLSearchParams(query)}`, "GET", undefined, signal);
    },
    listSessions: (filters, before, signal) =>
      call(sessionListSchema, `/sessions${sessionQuery(filters, before)}`, "GET", undefined, signal),
    getSession: (id, signal) => call(sessionViewSchema, `/sessions/${encodeURIComponent(id)}`, "GET", undefined, signal),
    createSession: (request) => call(sessionViewSchema, "/sessions", "POST", request),
    reserveSession: (request) => call(reservationSchema, "/sessions/reserve", "POST", request),
    releaseReservation: (id) => call(anything, `/sessions/reserve/${encodeURIComponent(id)}`, "DELETE"),
    readPool: (repository, signal) => call(poolViewSchema, `${of(repository)}/session-settings`, "GET", undefined, signal),
    putSessionSettings: (repository, settings) => call(poolViewSchema, `${of(repository)}/session-settings`, "PUT", settings),
    stopSession: (id) => call(anything, `${session(id)}/stop`, "POST"),
    resumeSession: (id) => call(anything, `${session(id)}/resume`, "POST"),
    archiveSession: (id) => call(anything, `${session(id)}/archive`, "POST"),
    restoreSession: (id) => call(anything, `${session(id)}/restore`, "POST"),
    changeSession: (id, request) => call(anything, session(id), "PATCH", request),
    refreshSession: (id) => call(anything, `${session(id)}/refresh`, "POST"),
    requestPullRequest: (id, request) => call(anything, `${session(id)}/pull-request`, "POST", request),
    createPrompt: (id, request) => call(promptAnswerSchema, `${session(id)}/prompts`, "POST", request),
    changePrompt: (id, promptId, request) => call(promptAnswerSchema, prompt(id, promptId), "PATCH", request),
    cancelPrompt: (id, promptId) => call(anything, prompt(id, promptId), "DELETE"),
    stopPrompt: (id, promptId) => call(anything, `${prompt(id, promptId)}/stop`, "POST"),
    attachmentAddress: (id, attachmentId) => `${base}${session(id)}/attachments/${encodeURIComponent(attachmentId)}`,
  };
}
