/** When a session gives its image up for the base, and what becomes of the image; what it does about a branch that was renamed. */
import { type Failure, type FailureCode, type RuntimeEvent } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { createFailure } from "../../src/domain/failures.ts";
import { type SessionEffect, type SessionInput, stepSession } from "../../src/domain/session.ts";
import { type SessionState } from "../../src/domain/session-state.ts";
import { viewOf } from "../../src/domain/session-views.ts";
import { sessionOrder } from "../fakes/session-order.ts";
import { storedImage } from "../fakes/stored-image.ts";

const sha = "a".repeat(40);
const image = storedImage({ sha });
const order = sessionOrder({ image, cold: null });

function drive(...inputs: ((attempt: string) => SessionInput)[]): { state: SessionState; effects: SessionEffect[] } {
  let step = stepSession(null, { type: "create", order }, 0);
  const effects = [...step.effects];
  for (const input of inputs) {
    step = stepSession(step.state, input(step.state?.attempt ?? ""), 10);
    effects.push(...step.effects);
  }
  if (!step.state) throw new Error("no state");
  return { state: step.state, effects };
}
const created = (attempt: string): SessionInput => ({
  type: "sandbox.created",
  attempt,
  sandboxId: `sb-${attempt}`,
  durationMs: 1,
});
const started = (attempt: string): SessionInput => ({ type: "runtime.started", attempt });
const connected = (attempt: string): SessionInput => ({
  type: "runtime.connected",
  attempt,
  runtimeVersion: "r1",
  runtimeRevision: 1,
  protocol: 1,
});
const up = [created, started, connected];
const said =
  (event: RuntimeEvent) =>
  (attempt: string): SessionInput => ({ type: "runtime.event", attempt, event });
const failed = (code: FailureCode, isOutside?: boolean) =>
  said({ type: "failed", failure: createFailure(code, { message: `because of ${code}` }), ...(isOutside ? { isOutside } : {}) });
const ready = said({ type: "session.ready", sha, setupRan: true, agentVersion: "1" });
const failureOf = ({ stage }: SessionState): Failure | null => (stage.at === "ended" ? stage.failure : null);
const reports = (effects: SessionEffect[]) => effects.filter((effect) => effect.type === "image.report_missing");
const creates = (effects: SessionEffect[]) =>
  effects.flatMap((effect) => (effect.type === "sandbox.create" ? [`${effect.source.kind} ${effect.attempt}`] : []));

for (const code of ["sync_failed", "agent_failed", "internal"] as const) {
  it(`[SE4] ${code} from an image: the base, once; an image is retired when the base got ready`, () => {
    const fallen = drive(...up, failed(code));
    expect(creates(fallen.effects)).toEqual(["image one", "base two"]);
    expect(fallen.effects).toContainEqual({ type: "sandbox.terminate", attempt: "one", sandboxId: "sb-one" });
    expect(reports(fallen.effects), "nothing is proved yet").toEqual([]);
    expect(viewOf(fallen.state, []).cold).toMatchObject({
      code: "restore_failed",
      message: expect.stringContaining(`because of ${code}`),
    });

    const better = drive(...up, failed(code), ...up, ready);
    expect(reports(better.effects)).toEqual([
      expect.objectContaining({
        scope: "repo:acme/shop",
        imageId: "img_1",
        cause: expect.stringContaining(`because of ${code}`),
      }),
    ]);

    const again = drive(...up, failed(code), ...up, failed(code));
    expect(failureOf(again.state)).toMatchObject({ code });
    expect(creates(again.effects)).toHaveLength(2);
    expect(reports(again.effects), "the base did no better").toEqual([]);
  });
}

it("[SE4] what another sandbox would meet too ends the session at once", () => {
  const outside = drive(...up, failed("sync_failed", true));
  expect(failureOf(outside.state)).toMatchObject({ code: "sync_failed" });
  for (const code of ["branch_not_found", "credentials_refused", "repository_not_found", "repository_empty"] as const) {
    const { state, effects } = drive(...up, failed(code));
    expect(failureOf(state)).toMatchObject({ code });
    expect(creates(effects)).toEqual(["image one"]);
  }
});

it("[SE4] a sandbox that ends before its runtime is there is the image's for one try; a later end is the session's", () => {
  const gone = (attempt: string): SessionInput => ({
    type: "sandbox.polled",
    attempt,
    status: { status: "ended", exitCode: 1, reason: "exited" },
    lastLines: [],
  });
  const early = drive(created, started, gone, ...up, ready);
  expect(creates(early.effects)).toEqual(["image one", "base two"]);
  expect(reports(early.effects), "the provider may have had a bad moment").toEqual([]);
  expect(failureOf(drive(...up, gone).state)).toMatchObject({ code: "sandbox_lost" });
});

it("[SE4] a failure after the session was ready is an end", () => {
  const { state, effects } = drive(...up, ready, failed("agent_failed"));
  expect(failureOf(state)).toMatchObject({ code: "agent_failed" });
  expect(creates(effects)).toEqual(["image one"]);
});

it("[SE12] the server's default branch takes the place of one that was renamed, and the repositories are read again", () => {
  const { state, effects } = drive(...up, said({ type: "workspace.synced", sha, bakedSha: sha, branch: "trunk" }), ready);
  expect(state).toMatchObject({ branch: "trunk", stage: { at: "ready" } });
  expect(effects).toContainEqual({ type: "repositories.reread" });
  const launch = effects.find((effect) => effect.type === "sandbox.start")?.launch;
  expect(launch).toMatchObject({ branch: "main", followDefault: true });
  expect(drive(...up, said({ type: "workspace.synced", sha, bakedSha: sha })).effects).not.toContainEqual({
    type: "repositories.reread",
  });
});
