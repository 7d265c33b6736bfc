/** A build from the switch to the active image, through the real Worker, objects and sockets. */
import { type BuildLogs, type ImageState, type RepositoryList, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { connectRuntime, eventually, gateway, json, playWholeBuild, someSha, startedSandbox } from "./harness.ts";

const imagePath = "/api/repositories/acme/shop/image";

async function buildImage(): Promise<ImageState> {
  const on = await json<ImageState>("PUT", imagePath, { enabled: true });
  expect(on.status).toBe(200);
  const buildId = on.body.latestBuild?.id ?? "";
  const { config } = await startedSandbox(buildId);
  const runtime = await connectRuntime(config);
  await playWholeBuild(runtime);
  return eventually(async () => {
    const { body } = await json<ImageState>("GET", imagePath);
    return body.status === "ready" ? body : null;
  }, "the image is ready");
}

it("[IB1] switching on builds, and the image is active once the snapshot is stored", async () => {
  const list = await json<RepositoryList>("GET", "/api/repositories");
  expect(list.body.repositories.map((one) => one.name)).toEqual(["empty", "Shop"]);
  const state = await buildImage();
  expect(state.active?.sha).toBe(someSha("a"));
  expect(state.latestBuild?.phases.map((one) => one.phase)).toEqual([
    "sandbox",
    "connect",
    "clone",
    "setup",
    "snapshot",
    "verify",
  ]);
  const logs = await json<BuildLogs>("GET", `/api/builds/${state.latestBuild?.id}/logs`);
  expect(logs.body.complete).toBe(true);
  expect(logs.body.entries.map((one) => one.text).join("")).toContain("installing");
  await eventually(
    async () => (await gateway({ do: "state" })).sandboxes.every((one) => one.status.status === "ended"),
    "no sandbox is left",
  );
});

it("[SE1] [SE2] [SE3] a session starts from the image and is ready with a receipt", async () => {
  const { active } = await buildImage();
  const created = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", prompt: "fix it" });
  expect(created.status).toBe(201);
  expect(created.body.image?.id).toBe(active?.id);
  expect(created.headers.get("server-timing")).toMatch(/^control-plane;dur=\d+$/);
  const { config, source } = await startedSandbox(created.body.id);
  expect(source.kind).toBe("image");
  expect(config).toMatchObject({ mode: "session", startFrom: "image", branch: "main" });
  const runtime = await connectRuntime(config);
  runtime.event({ type: "phase.finished", phase: "sync", outcome: "done", durationMs: 40 });
  runtime.event({ type: "workspace.synced", sha: someSha("c"), bakedSha: someSha("a") });
  runtime.event({ type: "session.ready", sha: someSha("c"), setupRan: false, agentVersion: "1" });
  const prompt = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt arrives");
  const promptId = prompt.type === "prompt" ? prompt.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  runtime.event({ type: "prompt.delta", promptId, partId: "p1", kind: "text", delta: "Do" });
  runtime.event({ type: "prompt.part", promptId, part: { kind: "text", id: "p1", text: "Done." } });
  runtime.event({ type: "prompt.finished", promptId, outcome: "done", error: null });
  const view = await eventually(async () => {
    const { body } = await json<SessionView>("GET", `/api/sessions/${created.body.id}`);
    return body.prompts[0]?.status === "done" ? body : null;
  }, "the prompt is done");
  expect(view.prompts[0]?.parts).toEqual([{ kind: "text", id: "p1", text: "Done." }]);
  expect(view.receipt).toMatchObject({
    startedFrom: "image",
    bakedSha: someSha("a"),
    syncedSha: someSha("c"),
    setupRanInSession: false,
  });
  expect(view.receipt?.cold?.source).toBe("build");
  expect(view.phases.map((one) => one.phase)).toEqual(["sandbox", "connect", "sync"]);
  const stopped = await json<SessionView>("POST", `/api/sessions/${created.body.id}/stop`);
  expect(stopped.body.status).toBe("snapshotting");
  await eventually(
    async () => (await gateway({ do: "state" })).sandboxes.every((one) => one.status.status === "ended"),
    "no sandbox is left",
  );
  await eventually(
    async () => (await json<SessionView>("GET", `/api/sessions/${created.body.id}`)).body.status === "stopped",
    "it is stopped",
  );
  expect(runtime.closed?.code).toBe(4002);
});
