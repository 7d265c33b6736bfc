/** The REST API as the scripts use it: every answer parsed by the protocol's schema. */
import { type z } from "zod";
import {
  type ActivateImageRequest,
  branchListSchema,
  buildAcceptedSchema,
  buildListSchema,
  buildLogsSchema,
  buildViewSchema,
  type ChangePromptRequest,
  type CreatePromptRequest,
  type CreateSessionRequest,
  errorBodySchema,
  type ImageSettings,
  imageListSchema,
  imageStateSchema,
  type PromptView,
  promptViewSchema,
  repositoryListSchema,
  type SessionView,
  sessionListSchema,
  sessionViewSchema,
  sightingListSchema,
} from "../packages/protocol/src/index.ts";

export type Api = ReturnType<typeof createApi>;

export function createApi(url: string) {
  async function call<T extends z.ZodType>(schema: T, method: string, path: string, body?: unknown): Promise<z.infer<T>> {
    const answer = await fetch(`${url}/api${path}`, {
      method,
      signal: AbortSignal.timeout(60_000),
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) {
      const failure = errorBodySchema.safeParse(safeJson(text));
      const said = failure.success ? `${failure.data.error.message} ${failure.data.error.hint}` : text.slice(0, 300);
      throw new Error(`${method} ${path} answered ${answer.status}: ${said}`);
    }
    return schema.parse(safeJson(text));
  }
  const imagePath = (repository: string) => `/repositories/${repository}/image`;
  return {
    repositories: () => call(repositoryListSchema, "GET", "/repositories"),
    branches: (repository: string) => call(branchListSchema, "GET", `/repositories/${repository}/branches`),
    image: (repository: string) => call(imageStateSchema, "GET", imagePath(repository)),
    setImage: (repository: string, enabled: boolean) => call(imageStateSchema, "PUT", imagePath(repository), { enabled }),
    rebuild: (repository: string) => call(buildAcceptedSchema, "POST", `${imagePath(repository)}/builds`),
    setSettings: (repository: string, settings: ImageSettings) =>
      call(imageStateSchema, "PUT", `${imagePath(repository)}/settings`, settings),
    images: async (repository: string) =>
      (await call(imageListSchema, "GET", `/images?repository=${encodeURIComponent(repository)}`)).images,
    activateImage: (id: string, request: ActivateImageRequest) =>
      call(imageStateSchema, "POST", `/images/${id}/activate`, request),
    unpinImage: (repository: string) => call(imageStateSchema, "DELETE", `${imagePath(repository)}/pin`),
    sightings: async (repository: string) =>
      (await call(sightingListSchema, "GET", `/repositories/${repository}/sightings`)).sightings,
    builds: async (repository: string) =>
      (await call(buildListSchema, "GET", `/builds?repository=${encodeURIComponent(repository)}`)).builds,
    cancelBuild: (id: string) => call(buildAcceptedSchema, "POST", `/builds/${id}/cancel`),
    build: (id: string) => call(buildViewSchema, "GET", `/builds/${id}`),
    buildLogs: (id: string, after = 0) => call(buildLogsSchema, "GET", `/builds/${id}/logs?after=${after}`),
    startSession: (request: CreateSessionRequest) => call(sessionViewSchema, "POST", "/sessions", request),
    session: (id: string) => call(sessionViewSchema, "GET", `/sessions/${id}`),
    sessions: () => call(sessionListSchema, "GET", "/sessions"),
    stopSession: (id: string) => call(sessionViewSchema, "POST", `/sessions/${id}/stop`),
    resumeSession: (id: string) => call(sessionViewSchema, "POST", `/sessions/${id}/resume`),
    prompt: (id: string, request: CreatePromptRequest) => call(promptViewSchema, "POST", `/sessions/${id}/prompts`, request),
    changePrompt: (id: string, promptId: string, request: ChangePromptRequest) =>
      call(promptViewSchema, "PATCH", `/sessions/${id}/prompts/${promptId}`, request),
    cancelPrompt: (id: string, promptId: string) => call(promptViewSchema, "DELETE", `/sessions/${id}/prompts/${promptId}`),
    stopPrompt: (id: string, promptId: string) => call(promptViewSchema, "POST", `/sessions/${id}/prompts/${promptId}/stop`),
  };
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Asks until `read` returns something other than null: often at first, then with longer pauses, as asking is work for the other side. */
export async function until<T>(what: string, deadlineMs: number, read: () => Promise<T | null>): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  for (let pauseMs = 50; Date.now() < deadline; pauseMs = Math.min(pauseMs * 1.5, 400)) {
    const found = await read();
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  throw new Error(`${what}: not within ${deadlineMs / 1000} s`);
}

/** Waits until a session is ready; a failed one throws with its cause and lines. */
export function untilReady(api: Api, id: string, deadlineMs: number): Promise<SessionView> {
  return until(`session ${id} ready`, deadlineMs, async () => {
    const session = await api.session(id);
    if (session.failure !== null) throw new Error([session.failure.message, ...session.failure.lines].join("\n"));
    return session.receipt === null ? null : session;
  });
}

/** Waits until a prompt has its one end, however it ended. */
export function untilAnswered(api: Api, sessionId: string, promptId: string, deadlineMs = 60_000): Promise<PromptView> {
  return until(`the end of prompt ${promptId}`, deadlineMs, async () => {
    const prompt = (await api.session(sessionId)).prompts.find((one) => one.id === promptId);
    return prompt && prompt.finishedAt !== null ? prompt : null;
  });
}

/** The text of an answer, without reasoning and tools. */
export const textOf = (prompt: PromptView): string =>
  prompt.parts.flatMap((part) => (part.kind === "text" ? [part.text] : [])).join("\n");

/** Waits until a session's sandbox has its repository on the branch's head; its agent may still be starting. */
export function untilSynced(api: Api, id: string): Promise<SessionView> {
  return until(`session ${id} synced`, 60_000, async () => {
    const session = await api.session(id);
    if (session.failure !== null) throw new Error([session.failure.message, ...session.failure.lines].join("\n"));
    return session.syncedSha === null ? null : session;
  });
}

/** Waits until the active image is of `sha`; a build that fails meanwhile throws with its cause and lines. */
export function untilImageOf(api: Api, repository: string, sha: string, deadlineMs: number) {
  const calledAt = Date.now();
  return until(`image of ${repository} at ${sha.slice(0, 7)}`, deadlineMs, async () => {
    const image = await api.image(repository);
    const build = image.latestBuild;
    if (build?.failure && (build.finishedAt ?? 0) >= calledAt)
      throw new Error([build.failure.message, ...build.failure.lines].join("\n"));
    return image.active?.sha === sha && build !== null && image.status === "ready" ? { active: image.active, build } : null;
  });
}
