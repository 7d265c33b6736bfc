/** One object per session: a switchboard between requests, sockets, the alarm and the pure machine in `domain/session.ts`. */
import { DurableObject } from "cloudflare:workers";
import { type Attachment, imageScopeOf, personSchema, type SessionView } from "@open-inspect/protocol";
import { createSessions } from "../adapters/d1/sessions.ts";
import { createLog } from "../adapters/log.ts";
import { createSessionChannel } from "../adapters/session-channel.ts";
import { acceptSocket } from "../adapters/sockets.ts";
import { createEffectStore } from "../adapters/sqlite/effect-store.ts";
import { createSubSessionStore } from "../adapters/sqlite/sub-session-store.ts";
import { dataPlaneOf, gitHubOf } from "../compose.ts";
import { type PullFound } from "../domain/ports.ts";
import { pushInFlight } from "../domain/pull-request.ts";
import { isSessionEffectWanted, nextSessionWakeAt, type SessionInput, stepSession } from "../domain/session.ts";
import { type SessionClaim } from "../domain/session-messages.ts";
import { liveAttemptOf, type SessionOrder, type SessionState } from "../domain/session-state.ts";
import { readSessionState } from "../domain/session-upgrade.ts";
import { shownStateOf, viewOf } from "../domain/session-views.ts";
import { type Env, readConfig } from "../env.ts";
import { tokenOf } from "../logins.ts";
import { setAlarm } from "./alarm.ts";
import { createConversation, type PromptAnswer, type PromptOrder } from "./conversation.ts";
import { createWriteCredentials } from "./credentials.ts";
import { createPullRequests, type PullDemand, type PullRefusal } from "./pull-requests.ts";
import { createRunner, type Runner } from "./runner.ts";
import { createSessionBridge } from "./session-bridge.ts";
import {
  deriveSessionRecords,
  type OwedSessionEffect,
  performSessionEffect,
  recordLane,
  sessionAddress,
  sessionPolicy,
} from "./session-effects.ts";
import { createSessionLog } from "./session-log.ts";
import { createSubSessions } from "./sub-sessions.ts";

const now = () => Date.now();
const settleMs = 1_000;

/** What is asked of a reserved sandbox before it is kept or claimed. */
export interface ReservedFor {
  scope: string;
  /** null: the default branch */
  branch: string | null;
}

/** A session that has just begun. */
export interface Begun {
  view: SessionView;
  /** from the accepted request until the sandbox was asked for; 0 when it was there */
  controlPlaneMs: number | null;
}

export type FirstPrompt = PromptOrder;

export class SessionObject extends DurableObject<Env> {
  private readonly log = createLog({ object: "session", id: this.ctx.id.toString() });
  private readonly config = readConfig(this.env);
  private readonly channel = createSessionChannel(this.ctx);
  private readonly sessionLog = createSessionLog(this.ctx.storage.sql, this.channel);
  private readonly conversation = createConversation({
    storage: this.ctx.storage,
    say: (text) => this.channel.say(text),
    send: (attempt, message) => this.bridge.send(attempt, message),
    mayBegin: () => this.mayWork(),
    schedule: () => this.runner.schedule(),
    changed: () => this.tellWork(),
    now,
  });
  private toldWork = "";

  private readonly bridge = createSessionBridge(this.ctx, {
    state: () => this.runner.state(),
    dispatch: (input) => this.runner.dispatch(input),
    schedule: () => this.runner.schedule(),
    mayWork: () => this.mayWork(),
    conversation: () => this.conversation,
    sessionLog: this.sessionLog,
    writing: () => this.writing,
    subSessions: () => this.subSessions,
    github: () => gitHubOf(this.config),
    log: this.log,
    now,
  });

  private readonly runner: Runner<SessionState | null, SessionInput> = createRunner<
    SessionState | null,
    SessionInput,
    OwedSessionEffect
  >({
    step: stepSession,
    initial: null,
    store: createEffectStore(this.ctx.storage, {
      state: (json) => readSessionState(JSON.parse(json)),
      effect: (json) => JSON.parse(json),
    }),
    address: sessionAddress,
    policy: sessionPolicy,
    isWanted: (state, effect) =>
      effect.type === "record.session" ||
      effect.type === "publish" ||
      effect.type === "pool.tell" ||
      isSessionEffectWanted(state, effect),
    perform: (effect, state) => {
      const { config, env } = this;
      return performSessionEffect(effect, state, {
        dataPlane: dataPlaneOf(config),
        config,
        env,
        sessions: createSessions(env.DB),
        github: gitHubOf(config),
        tokenOf: (githubId) => tokenOf(env, githubId),
        send: (attempt, message) => this.bridge.send(attempt, message),
        lastLines: () => this.sessionLog.lastLines(),
        creating: () => this.noteCreateSent(),
        shutdown: (attempt, reason) => void this.bridge.send(attempt, { type: "shutdown", reason }),
        sync: (attempt, branch) => this.bridge.send(attempt, { type: "sync", branch }),
        endPrompts: ({ which, outcome, cause, at }) => {
          this.conversation.end(which, outcome, cause, at);
          return this.conversation.work();
        },
      });
    },
    derive: deriveSessionRecords,
    afterCommit: (before, after) => this.show(before, after),
    nextWakeAt: (state) =>
      earliest(nextSessionWakeAt(state, state && this.bridge.heardAt(state.attempt)), this.conversation.nextWakeAt()),
    clock: (state) => ({
      type: "clock",
      heardAt: state && this.bridge.heardAt(state.attempt),
      lastLines: this.sessionLog.lastLines(),
    }),
    setAlarm: setAlarm(this.ctx),
    background: (work) => this.ctx.waitUntil(work),
    now,
    log: this.log,
  });

  private readonly writing = createWriteCredentials({
    github: () => gitHubOf(this.config),
    log: this.log,
    isInFlight: (attempt, pushId) => {
      const state = this.runner.state();
      return state !== null && pushInFlight(state, attempt) === pushId;
    },
    background: (work) => this.ctx.waitUntil(work),
  });

  private readonly subSessions = createSubSessions({
    caller: { env: this.env, executionCtx: this.ctx },
    store: createSubSessionStore(this.ctx.storage.sql),
    state: () => this.runner.state(),
    now,
    log: this.log,
  });

  private readonly pulls = createPullRequests({
    state: () => this.runner.state(),
    prompts: () => this.conversation.asked(),
    dispatch: (input) => void this.runner.dispatch(input),
  });

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.runner.resume();
  }

  /** Begins the session; the gateway's create call is on its way before this answers. A repetition changes nothing. */
  async create(order: SessionOrder, prompt: FirstPrompt | null): Promise<Begun> {
    const isNew = this.runner.state() === null;
    this.runner.dispatch({ type: "create", order });
    if (prompt && isNew) this.conversation.add(prompt, order.acceptedAt);
    await this.runner.settled(recordLane, settleMs);
    return { view: this.viewOf(this.existing()), controlPlaneMs: this.controlPlaneMs() };
  }

  /** null: there is no such session */
  async view(): Promise<{ view: SessionView; controlPlaneMs: number | null } | null> {
    const view = this.viewNow();
    return view && { view, controlPlaneMs: this.controlPlaneMs() };
  }

  /** null: there is no such session. The same holds for each of the next. */
  async stop(): Promise<SessionView | null> {
    return this.change({ type: "stop" });
  }

  async resume(): Promise<SessionView | null> {
    return this.change({ type: "resume" });
  }

  async archive(): Promise<SessionView | null> {
    return this.change({ type: "archive" });
  }

  async restore(): Promise<SessionView | null> {
    return this.change({ type: "restore" });
  }

  async rename(title: string): Promise<SessionView | null> {
    return this.change({ type: "rename", title });
  }

  /** Has the refresh script, or setup where there is none, run again beside the agent. `not_ready`: there is no sandbox that could. */
  async refresh(): Promise<SessionView | "not_ready" | null> {
    const state = this.runner.state();
    if (!state || state.reserved) return null;
    const attempt = state.stage.at === "ready" ? liveAttemptOf(state) : null;
    if (attempt === null || !this.bridge.send(attempt, { type: "refresh" })) return "not_ready";
    return this.viewNow();
  }

  /** Makes a session of a reserved sandbox, once; null: there is none, it is for something else, or it is somebody else's. */
  async claim(claim: SessionClaim, wanted: ReservedFor, prompt: FirstPrompt | null): Promise<Begun | null> {
    const before = this.runner.state();
    if (!before || !fits(before, wanted)) return null;
    const isAgain = claim.attemptId !== undefined && before.claimedBy === claim.attemptId;
    const after = this.runner.dispatch({ type: "claim", claim });
    if (!isAgain && (before.reserved === null || !after || after.reserved !== null)) return null;
    if (prompt && !isAgain) this.conversation.add(prompt, claim.acceptedAt);
    await this.runner.settled(recordLane, settleMs);
    return { view: this.viewOf(this.existing()), controlPlaneMs: this.controlPlaneMs() };
  }

  /** @returns null when there is nothing reserved here any more, or not for this */
  async keep(until: number, wanted: ReservedFor): Promise<{ isReady: boolean } | null> {
    const state = this.runner.state();
    if (!state?.reserved || !fits(state, wanted) || liveAttemptOf(state) === null) return null;
    const after = this.runner.dispatch({ type: "keep", until });
    return { isReady: after?.stage.at === "ready" };
  }

  /** Ends what is still reserved; a session goes on. Whether there was something to end. */
  async release(): Promise<boolean> {
    const state = this.runner.state();
    if (!state?.reserved) return false;
    this.runner.dispatch({ type: "release" });
    return liveAttemptOf(state) !== null;
  }

  /** Pushes and opens the pull request, or updates the one that is open. null: there is no such session */
  async requestPullRequest(demand: PullDemand): Promise<{ view: SessionView } | { refused: PullRefusal } | null> {
    const state = this.runner.state();
    if (!state || state.reserved) return null;
    const refused = await this.pulls.request(state, demand);
    const view = this.viewNow();
    return refused ? { refused } : view && { view };
  }

  /** GitHub says what became of a pull request; what is none of this session's changes nothing. */
  async hearPullRequest(found: PullFound): Promise<void> {
    if (this.runner.state()) this.runner.dispatch({ type: "pull.heard", found, isRead: false });
  }

  /** Queues it; the same id again changes nothing. null: there is no such session */
  async addPrompt(prompt: PromptOrder): Promise<PromptAnswer | null> {
    const state = this.runner.state();
    if (!state || state.reserved) return null;
    return state.archivedAt === null ? this.conversation.add(prompt, now()) : { refused: "archived" };
  }

  async changePrompt(id: string, changes: { text?: string; model?: string | null }): Promise<PromptAnswer | null> {
    return this.runner.state() && this.conversation.change(id, changes);
  }

  async cancelPrompt(id: string): Promise<PromptAnswer | null> {
    return this.runner.state() && this.conversation.cancel(id, now());
  }

  async stopPrompt(id: string): Promise<PromptAnswer | null> {
    return this.runner.state() && this.conversation.stop(id, now());
  }

  /** @param attempt the sandbox that asks, which has to be the one that lives; null for a person */
  async attachment(id: string, attempt: string | null): Promise<{ attachment: Attachment; bytes: Uint8Array } | null> {
    if (attempt !== null && !this.isLive(attempt)) return null;
    return this.conversation.attachment(id);
  }

  /** For the sessions that this one has begun: whether another one may begin below it. @returns why not, as a sentence */
  async admitSubSession(id: string): Promise<string | null> {
    return this.subSessions.admit(id);
  }

  /** One that was admitted did not begin. */
  async dismissSubSession(id: string): Promise<void> {
    this.subSessions.dismiss(id);
  }

  /** Whether the attempt's sandbox may use the model. */
  async mayUseModel(attempt: string): Promise<boolean> {
    return this.isLive(attempt);
  }

  /** Upgrades, checked by the Worker: `/bridge/<attempt>`, or `/events?since=&after=&person=&together=`. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const state = this.runner.state();
    const [, kind, attempt = ""] = url.pathname.split("/");
    if (kind === "bridge") {
      const isOver = !state || state.stage.at === "ended";
      return this.bridge.upgrade(attempt, isOver ? { over: "the session is over" } : { live: liveAttemptOf(state) });
    }
    if (state?.pullRequest) this.runner.dispatch({ type: "pull.looked" });
    const since = url.searchParams.get("since");
    const person = personSchema.parse(JSON.parse(url.searchParams.get("person") ?? "null"));
    const after = Number(url.searchParams.get("after") ?? 0);
    const isTogether = url.searchParams.has("together");
    const begin = this.begin(since === null ? null : Number(since), after);
    return acceptSocket((socket) => this.channel.join(socket, { person, isTogether }, begin));
  }

  override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): void {
    if (!this.channel.heard(socket, data)) this.bridge.message(socket, data);
  }

  override webSocketClose(socket: WebSocket): void {
    this.channel.left(socket);
    this.bridge.close(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.channel.left(socket);
    this.bridge.close(socket);
  }

  override alarm(): void {
    this.conversation.clock(now());
    this.runner.wake();
  }

  private async change(input: SessionInput): Promise<SessionView | null> {
    const state = this.runner.state();
    if (!state || state.reserved) return null;
    this.runner.dispatch(input);
    await this.runner.settled(recordLane, settleMs);
    return this.viewNow();
  }

  private viewNow(): SessionView | null {
    const state = this.runner.state();
    return state && this.viewOf(state);
  }

  private viewOf(state: SessionState): SessionView {
    const { conversation } = this;
    return { ...viewOf(state, conversation.prompts()), todos: conversation.todos(), diff: conversation.diff() };
  }

  private isLive(attempt: string): boolean {
    return liveAttemptOf(this.runner.state()) === attempt;
  }

  /** Whether the sandbox is there to work, and not about to end. */
  private mayWork(): boolean {
    const at = this.runner.state()?.stage.at;
    return at === "starting" || at === "ready";
  }

  private existing(): SessionState {
    const state = this.runner.state();
    if (!state) throw new Error("The session was not created.");
    return state;
  }

  /** Whoever decides about the sandbox is told when there is more or less to do for it. */
  private tellWork(): void {
    const work = this.conversation.work();
    const told = JSON.stringify(work);
    if (told === this.toldWork || !this.runner.state()) return;
    this.toldWork = told;
    this.runner.dispatch({ type: "work", work });
  }

  /** The first create call's time is the one that counts: it is what the person waited for. */
  private noteCreateSent(): void {
    const { kv } = this.ctx.storage;
    const state = this.runner.state();
    if (!state || kv.get("createSentAt") !== undefined) return;
    const at = now();
    kv.put("createSentAt", at);
    const text = `The sandbox was asked for ${at - state.acceptedAt} ms after the session was accepted.\n`;
    this.sessionLog.print({ at, phase: "sandbox", stream: "system", text });
  }

  private controlPlaneMs(): number | null {
    const state = this.runner.state();
    const at = this.ctx.storage.kv.get<number>("createSentAt");
    return state && at !== undefined ? Math.max(0, at - state.acceptedAt) : null;
  }

  private show(before: SessionState | null, after: SessionState | null): void {
    if (!after || before === after) return;
    this.writing.settle();
    this.pulls.settle();
    const retired = before && liveAttemptOf(before) !== null && liveAttemptOf(before) !== liveAttemptOf(after);
    // A stopping session's socket is kept until its sandbox is gone: the shutdown travels on it.
    if (retired && after.stage.at !== "stopping") this.bridge.end(before.attempt);
    if (after.stage.at === "ended") this.bridge.end(after.attempt);
    if (retired) this.conversation.lost(before.attempt);
    else if (after.stage.at === "ready" && before?.stage.at !== "ready") this.conversation.goOn();
    if (!after.reserved) this.conversation.tellState(JSON.stringify(shownStateOf(after)));
  }

  /** What a browser is told first: the view or what has changed since its cursor, then the log after its last entry. */
  private *begin(since: number | null, after: number): Generator<string> {
    yield* this.conversation.since(since, () => this.viewOf(this.existing()));
    yield* this.sessionLog.since(after);
  }
}

function earliest(...times: (number | null)[]): number | null {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
}

const fits = ({ repository, branch, isDefaultBranch }: SessionState, wanted: ReservedFor): boolean =>
  imageScopeOf(repository) === wanted.scope && (wanted.branch === null ? isDefaultBranch : branch === wanted.branch);
