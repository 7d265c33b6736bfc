/** Builds that go wrong, and builds whose control plane goes away, through the real Worker and objects. */
import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type BuildView, type ImageState, type RuntimeEvent } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import {
  call,
  connectRuntime,
  eventually,
  gateway,
  imageObject,
  json,
  passTime,
  playVerification,
  playWholeBuild,
  ring,
  ringWithin,
  someSha,
  startedSandbox,
} from "./harness.ts";

const imagePath = "/api/repositories/acme/shop/image";
const image = async (): Promise<ImageState> => (await json<ImageState>("GET", imagePath)).body;
const switchOn = async (): Promise<BuildView> => {
  const { body } = await json<ImageState>("PUT", imagePath, { enabled: true });
  if (!body.latestBuild) throw new Error("no build");
  return body.latestBuild;
};
const untilStatus = (status: ImageState["status"]) =>
  eventually(async () => {
    const state = await image();
    return state.status === status ? state : null;
  }, `the status becomes ${status}`);
const noSandboxLeft = () =>
  eventually(
    async () => (await gateway({ do: "state" })).sandboxes.every((one) => one.status.status === "ended"),
    "no sandbox is left",
  );

/** Rings until nothing but the wish is fulfilled: time is passed so that pauses between tries are over. */
async function ringUntil(done: () => Promise<boolean>, stepMs: number, what: string): Promise<void> {
  for (let round = 0; round < 40; round++) {
    if (await done()) return;
    passTime(stepMs);
    await ring(imageObject());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never came true: ${what}`);
}

it("[IB6] a failing setup keeps its cause and lines, the last good image goes on serving, and the next build is free to run", async () => {
  const first = await switchOn();
  await playWholeBuild(await connectRuntime((await startedSandbox(first.id)).config));
  await untilStatus("ready");
  const { body: accepted } = await json<{ build: BuildView }>("POST", `${imagePath}/builds`);
  const runtime = await connectRuntime((await startedSandbox(accepted.build.id)).config);
  const failure = {
    code: "setup_failed",
    message: "setup.sh exited with 1.",
    hint: "h",
    phase: "setup",
    lines: ["npm ERR!"],
    exitCode: 1,
  } as const;
  runtime.event({ type: "failed", failure: { ...failure, lines: [...failure.lines] } });
  const state = await untilStatus("failed");
  expect(state.latestBuild?.failure).toEqual(failure);
  expect(state.active?.buildId).toBe(first.id);
  await noSandboxLeft();
  await eventually(async () => runtime.closed, "the bridge is closed");
  expect(runtime.closed?.code).toBe(4002);
});

it("[SB9] a gateway that is down fails the build within its tries, and the build says so", async () => {
  await gateway({ do: "fault", fault: { call: "all", kind: "transient", times: 1_000 } });
  await switchOn();
  await ringUntil(async () => (await image()).status === "failed", 16_000, "the build fails");
  const { latestBuild } = await image();
  expect(latestBuild?.failure?.code).toBe("gateway_unavailable");
  const { calls } = await gateway({ do: "state" });
  expect(calls.filter((one) => one === "create")).toHaveLength(6);
});

const baseNotReady = { call: "create", kind: "transient", code: "base_not_ready" } as const;

it("[SB10] a build waits for the base image longer than its tries would last, says so, and becomes ready", async () => {
  await gateway({ do: "fault", fault: { ...baseNotReady, times: 12 } });
  const build = await switchOn();
  await eventually(
    async () => (await image()).latestBuild?.phases[0]?.detail === "waiting for the base image",
    "the page can show what is waited for",
  );
  await ringUntil(async () => (await gateway({ do: "state" })).sandboxes.length === 1, 20_000, "the base is there");
  const { calls } = await gateway({ do: "state" });
  expect(calls.filter((one) => one === "create")).toHaveLength(13);
  await playWholeBuild(await connectRuntime((await startedSandbox(build.id)).config));
  const { latestBuild, active } = await untilStatus("ready");
  expect(latestBuild?.phases[0]?.detail).toMatch(/^after \d+ s for the base image$/);
  expect(active?.buildMs, "the wait is no part of the build").toBeLessThan(60_000);
});

it("[IB14] [SB10] a base image that never comes is base_not_ready at the build's limit", async () => {
  await gateway({ do: "fault", fault: { ...baseNotReady, times: 1_000 } });
  await switchOn();
  await eventually(async () => (await image()).latestBuild?.phases[0]?.detail, "it waits");
  await ringUntil(async () => (await image()).status === "failed", 30_000, "the build fails");
  expect((await image()).latestBuild?.failure).toMatchObject({ code: "base_not_ready", phase: "sandbox" });
});

it("[SB11] a base image that cannot be built fails the build at once, with the end of its output", async () => {
  const lines = ["E: Unable to locate package nodejs"];
  await gateway({ do: "fault", fault: { call: "create", kind: "permanent", code: "base_image_failed", times: 1, lines } });
  await switchOn();
  const { latestBuild } = await untilStatus("failed");
  expect(latestBuild?.failure).toMatchObject({ code: "sandbox_create_failed", message: "fake base_image_failed", lines });
});

it("[IB5] a sandbox whose create took effect without an answer is found by its tag and ended", async () => {
  await gateway({ do: "fault", fault: { call: "create", kind: "transient", times: 6, after: true } });
  await switchOn();
  await ringUntil(async () => (await image()).status === "failed", 16_000, "the build fails");
  await noSandboxLeft();
});

it("[IB5] while the gateway is down the end of a sandbox stays owed, and is done when it is back", async () => {
  const build = await switchOn();
  const runtime = await connectRuntime((await startedSandbox(build.id)).config);
  await gateway({ do: "fault", fault: { call: "terminate", kind: "transient", times: 4 } });
  await playWholeBuild(runtime);
  await untilStatus("ready");
  expect((await gateway({ do: "state" })).sandboxes.some((one) => one.status.status === "running")).toBe(true);
  await ringUntil(
    async () => (await gateway({ do: "state" })).sandboxes.every((one) => one.status.status === "ended"),
    9_000,
    "the sandbox is ended",
  );
});

it("[SB3] a runtime that never connects fails the build with the runtime's own log", async () => {
  const build = await switchOn();
  await startedSandbox(build.id);
  await gateway({ do: "log", text: "getaddrinfo ENOTFOUND control.plane\n" });
  await eventually(async () => (await gateway({ do: "state" })).sandboxes.some((one) => one.config), "started");
  await ringUntil(async () => (await image()).status === "failed", 5_000, "the build fails");
  const { latestBuild } = await image();
  expect(latestBuild?.failure).toMatchObject({
    code: "runtime_never_connected",
    phase: "connect",
    lines: ["getaddrinfo ENOTFOUND control.plane"],
  });
  await noSandboxLeft();
});

it("[SB5] a sandbox that dies in the middle of setup is noticed soon after its socket breaks", async () => {
  const build = await switchOn();
  const sandbox = await startedSandbox(build.id);
  const runtime = await connectRuntime(sandbox.config);
  runtime.event({ type: "phase.started", phase: "setup" });
  runtime.event({ type: "log", phase: "setup", stream: "stdout", text: "compiling…\nKilled\n" });
  await eventually(async () => (await image()).latestBuild?.phase === "setup", "setup runs");
  await gateway({ do: "kill", sandboxId: sandbox.sandboxId, status: { status: "ended", exitCode: 137, reason: "exited" } });
  runtime.socket.close(1001, "gone");
  await ringWithin(imageObject(), deadlines.pollAfterCloseMs);
  const state = await untilStatus("failed");
  expect(state.latestBuild?.failure).toMatchObject({
    code: "sandbox_lost",
    phase: "setup",
    exitCode: 137,
    lines: ["compiling…", "Killed"],
  });
});

it("[IB10] a build over its limit ends as a timeout with the step and the last lines", async () => {
  const build = await switchOn();
  const runtime = await connectRuntime((await startedSandbox(build.id)).config);
  runtime.event({ type: "phase.started", phase: "setup" });
  runtime.event({ type: "log", phase: "setup", stream: "stdout", text: "\u001b[31mwaiting for a lock\u001b[0m\n" });
  await eventually(async () => (await image()).latestBuild?.phase === "setup", "setup runs");
  for (let passed = 0; passed < 600_000; passed += 40_000) {
    passTime(40_000);
    runtime.send({ type: "heartbeat", at: Date.now() });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  passTime(1_000);
  await ringUntil(async () => (await image()).status === "failed", 1_000, "the build fails");
  expect((await image()).latestBuild?.failure).toMatchObject({
    code: "build_timeout",
    phase: "setup",
    lines: ["waiting for a lock"],
  });
  await noSandboxLeft();
});

it("[IB13] a build goes on when its object is killed in the middle, and its runtime reconnects", async () => {
  const build = await switchOn();
  const { config } = await startedSandbox(build.id);
  const before = await connectRuntime(config);
  before.event({ type: "phase.started", phase: "clone" });
  before.event({ type: "workspace.synced", sha: someSha("a"), bakedSha: null });
  await eventually(async () => (await image()).latestBuild?.sha, "the commit is known");
  await abortAllDurableObjects();
  const after = await connectRuntime(config, { seq: before.seq });
  expect(after.received[0]).toEqual({ type: "welcome", ack: 2 });
  after.event({ type: "build.finished", sha: someSha("a"), setupRan: true });
  await playVerification(config);
  const state = await untilStatus("ready");
  expect(state.active?.buildId).toBe(build.id);
});

/** The gateway does not answer the create; then the process dies in it. */
async function dieInCreate(): Promise<BuildView> {
  await gateway({ do: "fault", fault: { call: "create", kind: "transient", times: 1, silent: true } });
  const build = await switchOn();
  await eventually(async () => (await gateway({ do: "state" })).calls.includes("create"), "the create is under way");
  await abortAllDurableObjects();
  return build;
}

it("[FX2] what was owed when the process died is performed as soon as somebody asks for the object again", async () => {
  const build = await dieInCreate();
  expect((await image()).latestBuild?.id, "asking for the row in the database wakes nobody").toBe(build.id);
  expect((await gateway({ do: "state" })).sandboxes).toEqual([]);
  await imageObject().readLogs(build.id, 0);
  await startedSandbox(build.id);
});

it("[FX9] what was owed when the process died is performed within ten seconds though nobody asks", async () => {
  // The Worker's clock is behind, so that an alarm ten seconds from its now is a moment away.
  passTime(-9_500);
  const build = await dieInCreate();
  await startedSandbox(build.id);
});

it("[IB2] a refresh while building answers with the build that runs next, once", async () => {
  const first = await switchOn();
  const runtime = await connectRuntime((await startedSandbox(first.id)).config);
  const next = await json<{ build: BuildView }>("POST", `${imagePath}/builds`);
  const same = await json<{ build: BuildView }>("POST", `${imagePath}/builds`);
  expect(next.status).toBe(202);
  expect(next.body.build.status).toBe("queued");
  expect(same.body.build.id).toBe(next.body.build.id);
  expect((await json<BuildView>("GET", `/api/builds/${next.body.build.id}`)).body.status).toBe("queued");
  await playWholeBuild(runtime);
  await startedSandbox(next.body.build.id);
});

it("[IB8] [BR7] switching off in the middle cancels the build, ends its sandbox and refuses its runtime", async () => {
  const build = await switchOn();
  const { config } = await startedSandbox(build.id);
  const runtime = await connectRuntime(config);
  const { body } = await json<ImageState>("PUT", imagePath, { enabled: false });
  expect(body).toMatchObject({ enabled: false, status: "disabled", active: null });
  expect((await json<BuildView>("GET", `/api/builds/${build.id}`)).body.status).toBe("cancelled");
  await noSandboxLeft();
  await eventually(async () => runtime.closed, "the bridge is closed");
  expect((await connectRuntime(config)).closed?.code).toBe(4002);
  expect((await call("POST", `${imagePath}/builds`)).status).toBe(409);
});

it("[IB7] replaced images are deleted at the provider, the newest three stay", async () => {
  await switchOn();
  for (let round = 0; round < 4; round++) {
    if (round > 0) await json("POST", `${imagePath}/builds`);
    const build = (await image()).latestBuild;
    await playWholeBuild(await connectRuntime((await startedSandbox(build?.id ?? "")).config));
    await eventually(async () => (await image()).active?.buildId === build?.id, "its image is active");
  }
  await eventually(async () => (await gateway({ do: "state" })).deletedImages.length === 1, "the oldest is deleted");
  expect((await gateway({ do: "state" })).images).toHaveLength(3);
});

it("[IB4] a build that is older than the active image is superseded", async () => {
  const build = await switchOn();
  const runtime = await connectRuntime((await startedSandbox(build.id)).config);
  await env.DB.prepare("UPDATE image_scopes SET active_order = 99, active_image_id = 'img_other'").run();
  await playWholeBuild(runtime);
  await eventually(
    async () => (await json<BuildView>("GET", `/api/builds/${build.id}`)).body.status === "superseded",
    "superseded",
  );
  await eventually(async () => (await gateway({ do: "state" })).deletedImages.length === 1, "its image is deleted");
});

it("[BR2] events are applied once, also when they are sent twice", async () => {
  const build = await switchOn();
  const runtime = await connectRuntime((await startedSandbox(build.id)).config);
  const log = (text: string): RuntimeEvent => ({ type: "log", phase: "setup", stream: "stdout", text });
  runtime.event(log("one\n"));
  runtime.send({ type: "event", seq: 1, at: 0, event: log("one again\n") });
  runtime.event(log("two\n"));
  runtime.send({ type: "heartbeat", at: 0 });
  await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === 2), "both are acknowledged");
  const { entries } = await (await call("GET", `/api/builds/${build.id}/logs`)).json<{
    entries: { text: string; stream: string }[];
  }>();
  expect(entries.filter((entry) => entry.stream === "stdout").map((entry) => entry.text)).toEqual(["one\n", "two\n"]);
});
