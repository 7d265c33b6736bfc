/** Views as the server sends them, each with room for what a test is about. */
import {
  type BuildView,
  type Failure,
  type ImageState,
  type ImageView,
  type Insights,
  type KeptImage,
  type LogEntry,
  type Me,
  type PhaseRecord,
  type PromptPart,
  type PromptView,
  type RepositoryView,
  type SessionSummary,
  type SessionView,
  type StartReceipt,
  type WorkspaceDiff,
} from "@open-inspect/protocol";

type ToolPart = Extract<PromptPart, { kind: "tool" }>;

export const sha = (start: string): string => start.padEnd(40, "0");
const id = (prefix: string, number: number) => `${prefix}_${String(number).padStart(26, "0")}`;
export const buildId = (number: number) => id("bld", number);
export const imageId = (number: number) => id("img", number);
export const sessionId = (number: number) => id("ses", number);
export const promptId = (number: number) => id("prm", number);
const minuteMs = 60_000;

export const setupFailure: Failure = {
  code: "setup_failed",
  message: ".openinspect/setup.sh ended with exit code 2.",
  hint: "Run the script in a checkout of the same commit.",
  phase: "setup",
  lines: ["npm error missing script: build", "\u001b[31msetup.sh: line 7: exited with 2\u001b[0m"],
  exitCode: 2,
};

export const phase = (name: PhaseRecord["phase"], startedAt: number, durationMs: number | null): PhaseRecord => ({
  phase: name,
  startedAt,
  durationMs,
  outcome: durationMs === null ? "running" : "done",
});

export function build(over: Partial<BuildView> = {}): BuildView {
  const at = Date.now() - 3 * minuteMs;
  return {
    id: buildId(1),
    repository: { owner: "acme", name: "web" },
    trigger: "push",
    requestedBy: null,
    status: "ready",
    phase: null,
    branch: "main",
    sha: sha("abc1234"),
    fromSha: null,
    mode: "full",
    modeReason: "first_image",
    phases: [phase("sandbox", at, 600), phase("clone", at + 600, 1_900), phase("setup", at + 2_500, 34_000)],
    requestedAt: at,
    startedAt: at,
    finishedAt: at + 41_000,
    durationMs: 41_000,
    failure: null,
    tryNumber: 1,
    inputs: null,
    sizeBytes: null,
    imageId: imageId(1),
    skipped: null,
    ...over,
  };
}

export function runningBuild(over: Partial<BuildView> = {}): BuildView {
  return build({ status: "running", phase: "setup", finishedAt: null, durationMs: null, imageId: null, ...over });
}

export function active(over: Partial<ImageView> = {}): ImageView {
  return {
    id: imageId(1),
    buildId: buildId(1),
    sha: sha("abc1234"),
    branch: "main",
    createdAt: Date.now() - 3 * minuteMs,
    expiresAt: Date.now() + 30 * 24 * 60 * minuteMs,
    mode: "full",
    modeReason: "first_image",
    chainDepth: 0,
    inputs: null,
    sizeBytes: null,
    buildMs: 41_000,
    runtimeVersion: "r1",
    ...over,
  };
}

export function kept(number: number, over: Partial<KeptImage> = {}): KeptImage {
  return { ...active({ id: imageId(number) }), state: "kept", retiredCause: null, runningSessions: 0, ...over };
}

/** A comparison of heads that built nothing, `count` times in a row. */
export function check(number: number, count: number, over: Partial<BuildView> = {}): BuildView {
  return build({
    ...{ id: buildId(number), trigger: "schedule", status: "skipped", phases: [], durationMs: null, imageId: null },
    ...{ fromSha: sha("abc1234"), mode: null, modeReason: null, skipped: { reason: "unchanged", count } },
    ...over,
  });
}

const calm = { pin: null, failing: null, settings: { limitMinutes: 30, keptImages: 3, rebuildMode: "auto" } } as const;
export const disabledImage: ImageState = {
  ...calm,
  enabled: false,
  status: "disabled",
  active: null,
  latestBuild: null,
  lastCheck: null,
};
export const readyImage = (): ImageState => ({
  ...calm,
  enabled: true,
  status: "ready",
  active: active(),
  latestBuild: build(),
  lastCheck: { at: Date.now() - 2 * minuteMs, sha: sha("abc1234"), outcome: "unchanged" },
});
export const buildingImage = (): ImageState => ({
  ...disabledImage,
  enabled: true,
  status: "building",
  latestBuild: runningBuild(),
});
export const failedImage = (serving: ImageView | null): ImageState => ({
  ...disabledImage,
  enabled: true,
  status: "failed",
  active: serving,
  latestBuild: build({ id: buildId(2), status: "failed", failure: setupFailure }),
});
export const noImage: ImageState = { ...disabledImage, enabled: true, status: "none" };

export function repository(name: string, image: ImageState, over: Partial<RepositoryView> = {}): RepositoryView {
  return {
    owner: "acme",
    name,
    defaultBranch: "main",
    private: false,
    cloneUrl: `https://github.test/acme/${name}.git`,
    image,
    ...over,
  };
}

export function summary(number: number, over: Partial<SessionSummary> = {}): SessionSummary {
  const createdAt = Date.now() - number * minuteMs;
  return {
    id: sessionId(number),
    repository: { owner: "acme", name: "web" },
    branch: "main",
    status: "ready",
    createdAt,
    readyAt: createdAt + 1_600,
    endedAt: null,
    startMs: 1_600,
    startedFrom: "image",
    title: `Session ${number}`,
    isWorking: false,
    activeAt: createdAt,
    author: null,
    usage: null,
    imageId: imageId(1),
    coldReason: null,
    promptCount: 0,
    pullRequest: null,
    parentId: null,
    archivedAt: null,
    ...over,
  };
}

export function receipt(over: Partial<StartReceipt> = {}): StartReceipt {
  return {
    startedFrom: "image",
    imageId: imageId(1),
    bakedSha: sha("abc1234"),
    syncedSha: sha("def5678"),
    startMs: 1_600,
    phases: { sandbox: 300, sync: 240, agent: 1_000 },
    setupRanInSession: false,
    cold: { ms: 38_200, source: "measured", measuredAt: 0 },
    ...over,
  };
}

export function session(over: Partial<SessionView> = {}): SessionView {
  return {
    ...summary(1),
    image: { id: imageId(1), buildId: buildId(1), sha: sha("abc1234") },
    cold: null,
    phases: [],
    bakedSha: sha("abc1234"),
    syncedSha: sha("def5678"),
    setupRanInSession: false,
    receipt: receipt(),
    prompts: [],
    fallbacks: [],
    staleSetup: null,
    idleStopAt: null,
    snapshot: null,
    models: [],
    todos: [],
    diff: null,
    failure: null,
    ...over,
  };
}

/** Whoever is on this machine, unless it is told otherwise. */
export function me(over: Partial<Me> = {}): Me {
  const person = { name: "Octavia Developer", email: "octavia@example.test", login: "octo-dev" };
  return { person, via: "developer", avatarUrl: null, canLogIn: false, ...over };
}

export const text = (partId: string, words: string): PromptPart => ({ kind: "text", id: partId, text: words });

/** A tool call that is over, unless it is told otherwise. Everything but a command goes in as JSON. */
export const tool = (partId: string, name: string, input: unknown, over: Partial<ToolPart> = {}): ToolPart => ({
  ...{ kind: "tool", id: partId, tool: name, status: "completed", title: "", output: "" },
  input: typeof input === "string" ? input : JSON.stringify(input),
  ...over,
});

export function prompt(number: number, over: Partial<PromptView> = {}): PromptView {
  const at = Date.now() - minuteMs;
  return {
    ...{ id: promptId(number), author: null, text: `Prompt ${number}`, model: null, attachments: [], status: "done", parts: [] },
    ...{ error: null, createdAt: at, startedAt: at, finishedAt: at + 12_000, usage: null },
    ...over,
  };
}

export function diff(over: Partial<WorkspaceDiff> = {}): WorkspaceDiff {
  return { base: sha("abc1234"), files: [], additions: 0, deletions: 0, isCut: false, ...over };
}

export const logEntry = (seq: number, text: string, over: Partial<LogEntry> = {}): LogEntry => ({
  seq,
  at: 1_700_000_000_000 + seq,
  phase: "setup",
  stream: "stdout",
  text,
  ...over,
});

export function insights(over: Partial<Insights> = {}): Insights {
  const standing = { known: 0, good: 0, share: null, isMet: null };
  return {
    ...{ since: 0, until: 1, days: 30, repository: null },
    starts: { image: 0, cold: 0, failed: 0 },
    coldReasons: [],
    startTimes: { image: null, cold: null },
    saved: { totalMs: 0, sessions: 0, medianMs: null },
    staleness: {
      target: { share: 0.95, withinMs: 30 * minuteMs },
      ...{ beforeSync: standing, afterSync: standing, medianBehindMs: null, medianBehindCommits: null },
    },
    builds: { ready: 0, failed: 0, cancelled: 0, superseded: 0, open: 0, skipped: 0, byMode: [], failures: [] },
    ...over,
  };
}
