/** One object per image scope: a switchboard between requests, sockets, the alarm and the pure machine in `domain/image-build.ts`. */
import { DurableObject } from "cloudflare:workers";
import {
  type BuildEvent,
  type BuildLogs,
  type BuildTrigger,
  type BuildView,
  type HeadCheckOutcome,
  type ImageSettings,
  type ImageState,
  imageScopeOf,
  type Pin,
  type RuntimeEvent,
} from "@open-inspect/protocol";
import { createBridge } from "../adapters/bridge.ts";
import { findBuild } from "../adapters/d1/builds.ts";
import { createImageRows } from "../adapters/d1/image-rows.ts";
import { createLog } from "../adapters/log.ts";
import { acceptSocket, createViewers, sendText } from "../adapters/sockets.ts";
import { createEffectStore } from "../adapters/sqlite/effect-store.ts";
import { createLogStore } from "../adapters/sqlite/log-store.ts";
import { dataPlaneOf, gitHubOf, notifierOf } from "../compose.ts";
import { limits } from "../domain/deadlines.ts";
import { type Head, type ImageInput, isImageEffectWanted, nextImageWakeAt } from "../domain/image-messages.ts";
import { deriveImageRecords } from "../domain/image-records.ts";
import { stepImage, tickFactsOf } from "../domain/image-scope.ts";
import { attemptOf, emptyScope, restoreScope, type ScopeState, type Target } from "../domain/image-scope-state.ts";
import { buildViews, droppedView, imageStateOf, recordView } from "../domain/image-views.ts";
import { runningPhase } from "../domain/phases.ts";
import { decideTick } from "../domain/schedule.ts";
import { type Env, readConfig } from "../env.ts";
import { tellPools } from "../pools.ts";
import { setAlarm } from "./alarm.ts";
import { gitCredential } from "./credentials.ts";
import { newBuildPlan } from "./ids.ts";
import { imageAddress, imagePolicy, type OwedImageEffect, performImageEffect, recordLane } from "./image-effects.ts";
import { createRunner, type Runner } from "./runner.ts";

const now = () => Date.now();
/** how long an answer waits for its rows to be in D1; they come later if D1 is slow */
const settleMs = 1_000;
const logPageBytes = 512 * 1024;

const quietTopic = (buildId: string): string => `${buildId}:quiet`;

export class ImageObject extends DurableObject<Env> {
  private readonly log = createLog({ object: "image", id: this.ctx.id.toString() });
  private readonly config = readConfig(this.env);
  private readonly logs = createLogStore(this.ctx.storage.sql, {
    headBytes: limits.logHeadBytes,
    tailBytes: limits.logTailBytes,
  });
  private readonly viewers = createViewers(this.ctx);
  private readonly dataPlane = dataPlaneOf(this.config);

  private readonly bridge = createBridge(
    this.ctx,
    {
      hello: (attempt, { runtimeVersion, revision: runtimeRevision = 1, protocol }) => {
        this.runner.dispatch({ type: "runtime.connected", attempt, runtimeVersion, runtimeRevision, protocol });
        return attemptOf(this.runner.state().live) === attempt;
      },
      event: (attempt, event, at) => this.take(attempt, event, at),
      welcomed: () => this.runner.schedule(),
      closed: (attempt) => void this.runner.dispatch({ type: "bridge.closed", attempt }),
      credential: () => gitCredential(gitHubOf(this.config), this.runner.state().target, this.log),
    },
    now,
  );

  private readonly runner: Runner<ScopeState, ImageInput> = createRunner<ScopeState, ImageInput, OwedImageEffect>({
    step: stepImage,
    initial: emptyScope,
    store: createEffectStore(this.ctx.storage, {
      state: (json) => restoreScope(JSON.parse(json)),
      effect: (json) => JSON.parse(json),
    }),
    address: imageAddress,
    policy: imagePolicy,
    isWanted: (state, effect) => {
      switch (effect.type) {
        case "record.scope":
        case "record.build":
        case "publish":
        case "pool.tell":
          return true;
        default:
          return isImageEffectWanted(state, effect);
      }
    },
    perform: (effect, { target }) =>
      performImageEffect(effect, {
        dataPlane: this.dataPlane,
        config: this.config,
        // The name is taken from the state: an instance that an alarm wakes need not know its own.
        rows: createImageRows(this.env.DB, target ? imageScopeOf(target) : ""),
        feed: this.env.FEED.getByName("feed"),
        slots: this.env.BUILD_SLOTS.getByName("slots"),
        tellPool: (scope) => tellPools(this.env, [scope]),
        notifier: notifierOf(this.env),
        recorded: () => this.runner.settled(recordLane, settleMs),
        lastLines: () => this.lastLines(),
        creating: () => {},
        now,
      }),
    derive: deriveImageRecords,
    onCommit: (before, after) => this.note(before, after),
    afterCommit: (before, after) => this.show(before, after),
    nextWakeAt: (state) => nextImageWakeAt(state, this.heardAt(state)),
    clock: (state) => ({ type: "clock", heardAt: this.heardAt(state), lastLines: this.lastLines() }),
    setAlarm: setAlarm(this.ctx),
    background: (work) => this.ctx.waitUntil(work),
    now,
    log: this.log,
  });

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.runner.resume();
  }

  /** @param sha the head of the branch now, null when it could not be read */
  async switchOn(target: Target, sha: string | null, by: string): Promise<ImageState> {
    return this.answer({ type: "switch.on", target, sha, by, plan: this.plan() });
  }

  async switchOff(): Promise<ImageState> {
    return this.answer({ type: "switch.off" });
  }

  /** Starts a build, or remembers one while another runs; null while the images are switched off or the commit is built already. */
  async trigger(trigger: BuildTrigger, target: Target, sha: string | null, by: string | null): Promise<BuildView | null> {
    const plan = this.plan();
    await this.answer({ type: "trigger", trigger, target, plan, sha, by });
    const { next, live } = this.runner.state();
    const id = next?.id ?? live?.id;
    return buildViews(this.runner.state()).find((build) => build.id === id) ?? null;
  }

  /** What a tick found as the head of the default branch, null when it could not be read. Answers what that came to. */
  async checkHead(head: Head | null): Promise<HeadCheckOutcome | null> {
    const runtimeFloor = this.config.RUNTIME_FLOOR;
    const { outcome } = decideTick(tickFactsOf(this.runner.state(), runtimeFloor), head, now());
    await this.answer({ type: "head", head, runtimeFloor, plan: this.plan() });
    return outcome;
  }

  /** Ends a build that runs or waits. Answers it as it is then, null when it was over already. */
  async cancel(buildId: string): Promise<BuildView | null> {
    const { live, next, target } = this.runner.state();
    if (live?.id !== buildId && next?.id !== buildId) return null;
    await this.answer({ type: "cancel", buildId });
    const { last, dropped } = this.runner.state();
    if (last?.id === buildId && target) return recordView(last, target);
    return dropped?.queued.id === buildId && target ? droppedView(dropped, target) : null;
  }

  async changeSettings(target: Target, settings: ImageSettings): Promise<ImageState> {
    return this.answer({ type: "settings", target, settings, plan: this.plan() });
  }

  /** Makes a kept image the active one until the pin ends; null when the scope does not keep it, or is switched off. */
  async pin(pin: Pin): Promise<ImageState | null> {
    const state = await this.answer({ type: "image.pin", pin });
    return state.pin?.imageId === pin.imageId ? state : null;
  }

  async unpin(): Promise<ImageState> {
    return this.answer({ type: "image.unpin" });
  }

  /** A slot for this build is free. False when the build does not want it any more. */
  async slotGranted(buildId: string): Promise<boolean> {
    this.runner.dispatch({ type: "slot.granted", buildId });
    return this.runner.state().live?.id === buildId;
  }

  /** A session could not start from the image: the provider does not have it, or it is broken as `cause` says. */
  async reportMissing(imageId: string, cause?: string): Promise<void> {
    await this.answer({ type: "image.missing", imageId, cause, plan: this.plan() });
  }

  async readLogs(buildId: string, after: number): Promise<BuildLogs> {
    const { entries, next, end } = this.logs.read(buildId, after, logPageBytes);
    const { live, next: waiting } = this.runner.state();
    return { entries, next, complete: end && live?.id !== buildId && waiting?.id !== buildId };
  }

  /** Upgrades, checked by the Worker: `/bridge/<attempt>?build=`, `/events?build=&after=`, or `/events?build=&quiet`. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const buildId = url.searchParams.get("build") ?? "";
    const { live } = this.runner.state();
    const [, kind, attempt = ""] = url.pathname.split("/");
    if (kind === "bridge")
      return this.bridge.upgrade(attempt, live?.id === buildId ? { live: attemptOf(live) } : { over: "the build is over" });
    const stored = await findBuild(this.env.DB, buildId);
    const after = url.searchParams.has("quiet") ? null : Number(url.searchParams.get("after") ?? 0);
    return acceptSocket((socket) => this.watch(socket, buildId, after, stored?.build ?? null));
  }

  override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): void {
    this.bridge.message(socket, data);
  }

  override webSocketClose(socket: WebSocket): void {
    this.bridge.close(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.bridge.close(socket);
  }

  override alarm(): void {
    this.runner.wake();
  }

  private plan() {
    return newBuildPlan(now(), this.config.BUILD_LIMIT_MS);
  }

  private async answer(input: ImageInput): Promise<ImageState> {
    const state = this.runner.dispatch(input);
    await this.runner.settled(recordLane, settleMs);
    return imageStateOf(state, null);
  }

  private heardAt({ live }: ScopeState): number | null {
    const attempt = attemptOf(live);
    return attempt === null ? null : this.bridge.heardAt(attempt);
  }

  private take(attempt: string, event: RuntimeEvent, at: number): void {
    const { live } = this.runner.state();
    if (!live || attemptOf(live) !== attempt) return;
    if (event.type !== "log") {
      this.runner.dispatch({ type: "runtime.event", attempt, event });
      return;
    }
    const { phase, stream, text } = event;
    const entry = this.logs.append(live.id, { at, phase, stream, text });
    this.send(live.id, { type: "log", entries: [entry] });
  }

  /** Who reads the log by itself is told only that there is more of it. */
  private send(buildId: string, event: BuildEvent): void {
    this.viewers.send(buildId, event);
    this.viewers.send(quietTopic(buildId), event.type === "log" ? { type: "more" } : event);
  }

  private lastLines(): string[] {
    const { live } = this.runner.state();
    return live ? this.logs.lastLines(live.id) : [];
  }

  /** Ours in the log: when a build begins and how it ends. */
  private note(before: ScopeState, after: ScopeState): void {
    const over = before.live && after.live?.id !== before.live.id ? after.last : null;
    if (over) {
      const text = over.failure ? `The build failed: ${over.failure.message}\n` : `The build ended: ${over.status}.\n`;
      const phase = over.failure?.phase ?? (before.live && runningPhase(before.live.phases)) ?? "sandbox";
      const entry = this.logs.append(over.id, { at: now(), phase, stream: "system", text });
      this.send(over.id, { type: "log", entries: [entry] });
    }
    const { live } = after;
    if (!live) return;
    const phase = runningPhase(live.phases) ?? "sandbox";
    if (live.id !== before.live?.id) {
      this.logs.append(live.id, { at: now(), phase, stream: "system", text: `Build ${live.id} begins.\n` });
      this.logs.keepNewest(limits.logsKept);
    }
    const told = before.live?.id === live.id ? before.live.note : null;
    if (live.note === null || live.note === told) return;
    const entry = this.logs.append(live.id, { at: now(), phase, stream: "system", text: `${live.note}\n` });
    this.send(live.id, { type: "log", entries: [entry] });
  }

  private show(before: ScopeState, after: ScopeState): void {
    if (before === after) return;
    const attempt = attemptOf(before.live);
    if (attempt !== null && attempt !== attemptOf(after.live)) this.bridge.end(attempt);
    for (const build of buildViews(after)) this.send(build.id, { type: "build", build });
  }

  /**
   * @param after the log since then is sent; null: none of it ever is, only word that there is more
   * @param stored the build as D1 has it, for builds that this object remembers no more
   */
  private watch(socket: WebSocket, buildId: string, after: number | null, stored: BuildView | null): void {
    this.viewers.accept(socket, after === null ? quietTopic(buildId) : buildId);
    const build = buildViews(this.runner.state()).find((one) => one.id === buildId) ?? stored;
    if (build) sendText(socket, JSON.stringify({ type: "build", build } satisfies BuildEvent));
    for (let cursor = after; cursor !== null; ) {
      const { entries, next, end } = this.logs.read(buildId, cursor, logPageBytes);
      if (entries.length > 0) sendText(socket, JSON.stringify({ type: "log", entries } satisfies BuildEvent));
      if (end) return;
      cursor = next;
    }
  }
}
