/** Sessions that start cold, restart from the base, fail or are stopped, through the real Worker and objects. */
import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Failure, type ImageState, type SessionList, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import {
  connectRuntime,
  eventually,
  gateway,
  github,
  json,
  passTime,
  playWholeBuild,
  ring,
  ringWithin,
  sessionObject,
  someSha,
  startedSandbox,
} from "./harness.ts";
import { read, ready, start, untilStatus } from "./session-world.ts";

const noSandboxLeft = () =>
  eventually(
    async () => (await gateway({ do: "state" })).sandboxes.every((one) => one.status.status === "ended"),
    "no sandbox is left",
  );

async function buildImage(): Promise<ImageState> {
  const { body } = await json<ImageState>("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  await playWholeBuild(await connectRuntime((await startedSandbox(body.latestBuild?.id ?? "")).config));
  return eventually(async () => {
    const { body: state } = await json<ImageState>("GET", "/api/repositories/acme/shop/image");
    return state.active ? state : null;
  }, "an image is active");
}

it("[IS1] without an image the session starts from the base and says why", async () => {
  const session = await start();
  expect(session.cold?.code).toBe("images_disabled");
  const { config, source } = await startedSandbox(session.id);
  expect(source).toEqual({ kind: "base" });
  expect(config).toMatchObject({ startFrom: "base" });
  const runtime = await connectRuntime(config);
  runtime.event(ready);
  const { receipt } = await untilStatus(session.id, "ready");
  expect(receipt).toMatchObject({ startedFrom: "base", imageId: null, bakedSha: null, cold: { source: "measured" } });
  const again = await start();
  const second = await connectRuntime((await startedSandbox(again.id)).config);
  second.event(ready);
  await untilStatus(again.id, "ready");
});

it("[SE4] an image that is gone from the provider is retired, and the session starts from the base by itself", async () => {
  const { active } = await buildImage();
  const { images } = await gateway({ do: "state" });
  await gateway({ do: "forget-image", providerImageId: images[0] ?? "" });
  const session = await start();
  const { config, source } = await startedSandbox(session.id);
  expect(source).toEqual({ kind: "base" });
  const runtime = await connectRuntime(config);
  runtime.event(ready);
  const started = await untilStatus(session.id, "ready");
  expect(started).toMatchObject({ image: null, cold: { code: "restore_failed" } });
  const state = await eventually(async () => {
    const { body } = await json<ImageState>("GET", "/api/repositories/acme/shop/image");
    return body.active === null ? body : null;
  }, "the image is retired");
  expect(state.latestBuild?.id).not.toBe(active?.buildId);
});

it("[SE4] an image whose sandbox is refused for another reason is not retired, but the base is tried", async () => {
  await buildImage();
  await gateway({ do: "fault", fault: { call: "create", kind: "permanent", times: 1 } });
  const session = await start();
  expect((await startedSandbox(session.id)).source).toEqual({ kind: "base" });
  const { body } = await json<ImageState>("GET", "/api/repositories/acme/shop/image");
  expect(body.active).not.toBeNull();
});

it("[SE4] [IB11] an image in which the agent fails is replaced by the base, and retired with the cause when the base does better", async () => {
  const { active } = await buildImage();
  const session = await start();
  const first = await connectRuntime((await startedSandbox(session.id)).config);
  const message = "The agent did not become healthy: its database is broken.";
  const failure: Failure = { code: "agent_failed", message, hint: "h", phase: "agent", lines: [], exitCode: 1 };
  first.event({ type: "failed", failure });
  const { config } = await eventually(async () => {
    const sandbox = await startedSandbox(session.id);
    return sandbox.source.kind === "base" ? sandbox : null;
  }, "the base is started");
  const second = await connectRuntime(config);
  second.event(ready);
  const started = await untilStatus(session.id, "ready");
  expect(started.cold).toMatchObject({ code: "restore_failed", message: expect.stringContaining("database is broken") });
  const row = await eventually(
    () =>
      env.DB.prepare("SELECT retired_cause FROM images WHERE id = ? AND retired_at IS NOT NULL")
        .bind(active?.id)
        .first<{ retired_cause: string }>(),
    "the image is retired",
  );
  expect(row.retired_cause).toContain("database is broken");
});

it("[SE12] a session whose default branch was renamed goes on with the new one, and the list is read again", async () => {
  await json("GET", "/api/repositories");
  const shop = { owner: "Acme", name: "Shop", defaultBranch: "trunk", branches: { trunk: someSha("a") } };
  const session = await start();
  expect(session.branch).toBe("main");
  await github({ do: "repositories", repositories: [shop] });
  const { config } = await startedSandbox(session.id);
  expect(config).toMatchObject({ branch: "main", followDefault: true });
  const runtime = await connectRuntime(config);
  runtime.event({ type: "workspace.synced", sha: someSha("a"), bakedSha: null, branch: "trunk" });
  runtime.event(ready);
  expect((await untilStatus(session.id, "ready")).branch).toBe("trunk");
  await eventually(async () => (await start()).branch === "trunk", "the next session knows the new name");
  const named = await start({ branch: "trunk" });
  expect((await startedSandbox(named.id)).config).toMatchObject({ followDefault: false });
});

it("[SE13] only the models of the installation are taken, and the agent is told all of them", async () => {
  const refused = await json<{ error: { code: string; hint: string } }>("POST", "/api/sessions", {
    repository: "acme/shop",
    model: "no-such-model",
  });
  expect(refused).toMatchObject({ status: 400, body: { error: { code: "model_not_allowed" } } });
  expect(refused.body.error.hint).toContain("a-model, claude-opus-4-5, claude-haiku-4-5");
  const session = await start({ model: "claude-haiku-4-5" });
  const { config } = await startedSandbox(session.id);
  expect(config).toMatchObject({
    agent: { model: "claude-haiku-4-5", models: ["a-model", "claude-opus-4-5", "claude-haiku-4-5"] },
  });
});

it("[SE5] [BR7] stopping is idempotent, tells the runtime, and refuses it afterwards", async () => {
  const session = await start();
  const { config } = await startedSandbox(session.id);
  const runtime = await connectRuntime(config);
  runtime.event(ready);
  await untilStatus(session.id, "ready");
  expect((await json("POST", `/api/sessions/${session.id}/stop`)).status).toBe(200);
  expect((await json("POST", `/api/sessions/${session.id}/stop`)).status).toBe(200);
  await untilStatus(session.id, "stopped");
  expect(runtime.received.some((one) => one.type === "shutdown")).toBe(true);
  await noSandboxLeft();
  expect((await connectRuntime(config)).closed?.code).toBe(4002);
  expect((await json<SessionView>("POST", `/api/sessions/${session.id}/stop`)).body.status).toBe("stopped");
});

it("[SE5] a session can be stopped before its sandbox exists", async () => {
  await gateway({ do: "fault", fault: { call: "create", kind: "transient", times: 1, after: true } });
  const session = await start();
  await json("POST", `/api/sessions/${session.id}/stop`);
  await untilStatus(session.id, "stopped");
  await noSandboxLeft();
});

it("[SE6] a session that does not get ready within its limit fails with the step that ran", async () => {
  const session = await start();
  const runtime = await connectRuntime((await startedSandbox(session.id)).config);
  runtime.event({ type: "phase.started", phase: "setup" });
  runtime.event({ type: "log", phase: "setup", stream: "stdout", text: "still at it\n" });
  await eventually(async () => (await read(session.id)).phases.some((one) => one.phase === "setup"), "setup runs");
  for (let passed = 0; passed < 600_000; passed += 50_000) {
    passTime(50_000);
    runtime.send({ type: "heartbeat", at: Date.now() });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  passTime(500);
  await ring(sessionObject(session.id));
  const failed = await untilStatus(session.id, "failed");
  expect(failed.failure).toMatchObject({ code: "start_timeout", phase: "setup", lines: ["still at it"] });
  await noSandboxLeft();
});

it("[SE7] a sandbox that dies fails its session and its unfinished prompt; one at its lifetime stops it; both say why", async () => {
  const died = await start({ prompt: "do it" });
  const sandbox = await startedSandbox(died.id);
  const runtime = await connectRuntime(sandbox.config);
  runtime.event(ready);
  const { prompts } = await untilStatus(died.id, "ready");
  runtime.event({ type: "prompt.started", promptId: prompts[0]?.id ?? "" });
  await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === runtime.seq), "it has begun");
  await gateway({ do: "kill", sandboxId: sandbox.sandboxId, status: { status: "ended", exitCode: 137, reason: "exited" } });
  runtime.socket.close(1001, "gone");
  await ringWithin(sessionObject(died.id), deadlines.pollAfterCloseMs);
  const failed = await untilStatus(died.id, "failed");
  expect(failed.failure?.code).toBe("sandbox_lost");
  expect(failed.prompts[0]).toMatchObject({ status: "failed" });

  const old = await start();
  const oldSandbox = await startedSandbox(old.id);
  const oldRuntime = await connectRuntime(oldSandbox.config);
  oldRuntime.event(ready);
  await untilStatus(old.id, "ready");
  await gateway({ do: "kill", sandboxId: oldSandbox.sandboxId, status: { status: "ended", exitCode: null, reason: "timeout" } });
  oldRuntime.socket.close(1001, "gone");
  await ringWithin(sessionObject(old.id), deadlines.pollAfterCloseMs);
  const stopped = await untilStatus(old.id, "stopped");
  expect(stopped.failure?.message).toContain("24 hours");
});

it("[SE8] a prompt is sent again after each reconnect until it has ended, also by another instance of the object", async () => {
  const session = await start({ prompt: "fix the bug\nplease" });
  expect(session.title).toBe("fix the bug");
  const { config } = await startedSandbox(session.id);
  const runtime = await connectRuntime(config);
  runtime.event(ready);
  const first = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt arrives");
  await abortAllDurableObjects();
  const again = await connectRuntime(config, { seq: runtime.seq });
  expect(again.received.find((one) => one.type === "prompt")).toEqual(first);
  const promptId = first.type === "prompt" ? first.promptId : "";
  again.event({ type: "prompt.started", promptId });
  await eventually(async () => (await read(session.id)).prompts[0]?.status === "running", "it runs");
  // A runtime that knows the prompt passes it over; one that was started anew in the same sandbox does not know it.
  const third = await connectRuntime(config, { seq: again.seq });
  await eventually(async () => third.received.some((one) => one.type === "prompt"), "sent again");
  third.event({ type: "prompt.finished", promptId, outcome: "done", error: null });
  await eventually(async () => (await read(session.id)).prompts[0]?.status === "done", "it is done");
  const fourth = await connectRuntime(config, { seq: third.seq });
  expect(fourth.received.some((one) => one.type === "prompt")).toBe(false);
});

it("[SE1] the time until the create call is measured, and the session is listed", async () => {
  const session = await start();
  await eventually(async () => {
    const { body } = await json<SessionList>("GET", "/api/sessions");
    return body.sessions.some((one) => one.id === session.id);
  }, "it is listed");
  const timing = await json<SessionView>("GET", `/api/sessions/${session.id}`);
  const controlPlaneMs = Number(/dur=(\d+)/.exec(timing.headers.get("server-timing") ?? "")?.[1]);
  expect(controlPlaneMs).toBeGreaterThanOrEqual(0);
  expect(controlPlaneMs).toBeLessThan(1_000);
});

it("[IS1] when the image cannot be looked up the session starts cold", async () => {
  await json("GET", "/api/repositories");
  await env.DB.exec("ALTER TABLE image_scopes RENAME TO image_scopes_gone");
  const session = await start();
  expect(session.cold?.code).toBe("lookup_failed");
  await env.DB.exec("ALTER TABLE image_scopes_gone RENAME TO image_scopes");
  await env.DB.exec("ALTER TABLE repositories RENAME TO repositories_gone");
  expect((await start()).cold?.code, "GitHub stands in for the database").toBe("lookup_failed");
});

it("[SE1] another branch is looked up first: unknown ones are refused, known ones start cold", async () => {
  await buildImage();
  const unknown = await json<{ error: { code: string } }>("POST", "/api/sessions", { repository: "acme/shop", branch: "nope" });
  expect(unknown).toMatchObject({ status: 404, body: { error: { code: "branch_not_found" } } });
  const feature = await start({ branch: "feature" });
  expect(feature).toMatchObject({ branch: "feature", cold: { code: "other_branch" } });
  await github({ do: "down", status: 500 });
  expect(await start({ branch: "unchecked" }), "GitHub's trouble does not hold up a session").toMatchObject({
    branch: "unchecked",
  });
});

/** Passes time and rings until the session's sandbox has a runtime, or its status is the wished one. */
async function ringSession(id: string, done: (now: SessionView) => boolean, stepMs: number): Promise<SessionView> {
  for (let round = 0; round < 60; round++) {
    const now = await read(id);
    if (done(now)) return now;
    passTime(stepMs);
    await ring(sessionObject(id));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("the session never came so far");
}

it("[SB10] [SE10] a session that waited for the base image tells the wait, and leaves no cold cost that includes it", async () => {
  await gateway({ do: "fault", fault: { call: "create", kind: "transient", code: "base_not_ready", times: 10 } });
  const session = await start();
  await eventually(async () => (await read(session.id)).phases[0]?.detail === "waiting for the base image", "it says so");
  await ringSession(session.id, (now) => now.status === "connecting", 20_000);
  const runtime = await connectRuntime((await startedSandbox(session.id)).config);
  runtime.event(ready);
  const { receipt, phases } = await untilStatus(session.id, "ready");
  expect(receipt?.startMs).toBeGreaterThan(150_000);
  expect(receipt?.cold?.ms).toBeLessThan(60_000);
  expect(phases[0]?.durationMs).toBeLessThan(60_000);
  const row = await eventually(
    () => env.DB.prepare("SELECT start_ms, cold_ms FROM sessions WHERE cold_ms IS NOT NULL").first<Record<string, number>>(),
    "the row is written",
  );
  expect(row).toEqual({ start_ms: receipt?.startMs, cold_ms: receipt?.cold?.ms });

  await buildImage();
  const next = await start();
  const warm = await connectRuntime((await startedSandbox(next.id)).config);
  warm.event({ ...ready, setupRan: false });
  expect((await untilStatus(next.id, "ready")).receipt?.cold).toMatchObject({ source: "measured", ms: receipt?.cold?.ms });
});

it("[SE6] a session whose base image is not there within the limit fails as base_not_ready", async () => {
  await gateway({ do: "fault", fault: { call: "create", kind: "transient", code: "base_not_ready", times: 1_000 } });
  const session = await start();
  await eventually(async () => (await read(session.id)).phases[0]?.detail, "it waits");
  const failed = await ringSession(session.id, (now) => now.status === "failed", 25_000);
  expect(failed.failure).toMatchObject({ code: "base_not_ready", phase: "sandbox", lines: ["fake base_not_ready"] });
});

it("[SB13] a runtime that dies in a sandbox that stays up fails its session within seconds, with the runtime's own log", async () => {
  const session = await start();
  const sandbox = await startedSandbox(session.id);
  const runtime = await connectRuntime(sandbox.config);
  runtime.event(ready);
  await untilStatus(session.id, "ready");
  await gateway({ do: "log", text: "FATAL: out of memory\n" });
  await gateway({ do: "end-runtime", sandboxId: sandbox.sandboxId });
  const diedAt = Date.now();
  runtime.socket.close(1001, "gone");
  const failed = await ringSession(session.id, (now) => now.status === "failed", 2_500);
  expect(failed.failure).toMatchObject({ code: "sandbox_lost", lines: ["FATAL: out of memory"] });
  expect((failed.endedAt ?? 0) - diedAt).toBeLessThan(30_000);
  await noSandboxLeft();
});
