/** Drives the machine of one image scope through builds: plans, what a sandbox and the database answer, and a scope that has an image. */
import { type BuildPlan, type ImageEffect, type ImageInput } from "../../src/domain/image-messages.ts";
import { stepImage } from "../../src/domain/image-scope.ts";
import {
  attemptOf as attemptOfLive,
  type BuildGround,
  emptyScope,
  type ScopeState,
  type Target,
} from "../../src/domain/image-scope-state.ts";
import { imageStateOf as viewOf } from "../../src/domain/image-views.ts";

export const target: Target = {
  owner: "Acme",
  name: "Shop",
  branch: "main",
  private: false,
  cloneUrl: "http://g/a.git",
  installationId: 1,
};
export const sha = (digit: string) => digit.repeat(40);
let serial = 0;
export const plan = (): BuildPlan => {
  serial += 1;
  const attempts = [1, 2, 3, 4].map((life) => `attempt${serial}-${life}`);
  return { buildId: `bld_${serial}`, imageId: `img_${serial}`, attempts, limitMs: 600_000 };
};

export function drive(start: ScopeState, now: number, ...inputs: ((state: ScopeState) => ImageInput)[]) {
  let state = start;
  const effects: ImageEffect[] = [];
  for (const input of inputs) {
    const step = stepImage(state, input(state), now);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects, types: effects.map((effect) => effect.type) };
}

export const imageStateOf = (state: ScopeState) => viewOf(state, null);
export const attemptOf = (state: ScopeState): string => attemptOfLive(state.live) ?? "none";
export const ask = () => ({ type: "switch.on", target, sha: null, by: "dev", plan: plan() }) satisfies ImageInput;
export const askAgain = () =>
  ({ type: "trigger", trigger: "refresh", target, plan: plan(), sha: null, by: "dev" }) satisfies ImageInput;
export const ground: BuildGround = { base: "im-base", runtimeVersion: "r", secretsVersion: 0 };
export const granted = (state: ScopeState): ImageInput => ({ type: "slot.granted", buildId: state.live?.id ?? "" });
export const planned = (state: ScopeState): ImageInput => ({ type: "build.planned", buildId: state.live?.id ?? "", ground });
/** from the request to the sandbox that is owed */
export const on = [ask, granted, planned];
export const refresh = [askAgain, granted, planned];
export const created = (state: ScopeState): ImageInput => ({
  type: "sandbox.created",
  attempt: attemptOf(state),
  sandboxId: "sb-1",
  durationMs: 1,
});
export const hello = (state: ScopeState): ImageInput => ({
  type: "runtime.connected",
  attempt: attemptOf(state),
  runtimeVersion: "r",
  runtimeRevision: 1,
  protocol: 1,
});
export const finished =
  (digit: string) =>
  (state: ScopeState): ImageInput => ({
    type: "runtime.event",
    attempt: attemptOf(state),
    event: { type: "build.finished", sha: sha(digit), setupRan: true },
  });
export const snapshot = (state: ScopeState): ImageInput => ({
  type: "snapshot.taken",
  attempt: attemptOf(state),
  providerImageId: `im-${state.live?.id}`,
  durationMs: 3,
});
export const activated =
  (yes: boolean) =>
  (state: ScopeState): ImageInput => ({ type: "image.activated", imageId: state.live?.imageId ?? "", activated: yes });
export const verified = (state: ScopeState): ImageInput => {
  if (state.live?.stage.at !== "verifying") throw new Error("nothing is verified");
  const event = { type: "verify.finished", sha: state.live.stage.image.sha, verifyRan: false } as const;
  return { type: "runtime.event", attempt: attemptOf(state), event };
};
export const proved = [created, hello, verified];
export const building = [created, hello];
export const whole = (digit: string) => [created, hello, finished(digit), snapshot, ...proved, activated(true)];
export const ready = (digit = "a") => drive(emptyScope, 1_000, ...on, ...whole(digit)).state;

export const known = (state: ScopeState): ImageInput => ({
  type: "runtime.event",
  attempt: attemptOf(state),
  event: { type: "build.inputs", inputs: { setup: "e".repeat(64), refresh: null, files: [], omittedFiles: 0 }, file: {} },
});
export const readyWithInputs = (digit = "a") =>
  drive(emptyScope, 1_000, ...on, ...building, known, finished(digit), snapshot, ...proved, activated(true)).state;

/** A push whose head is the commit of `digit`. */
export const push = (digit: string) => (): ImageInput => ({
  type: "trigger",
  trigger: "push",
  target,
  plan: plan(),
  sha: sha(digit),
  by: null,
});
