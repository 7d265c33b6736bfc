/** What the database keeps of sessions, and what it keeps from happening to their images. */
import { env } from "cloudflare:workers";
import { type BuildView, type Failure, type ImageState, type SessionList, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import {
  connectRuntime,
  eventually,
  type FakeRuntime,
  gateway,
  imageObject,
  json,
  passTime,
  playWholeBuild,
  ring,
  someSha,
  startedSandbox,
} from "./harness.ts";

const imagePath = "/api/repositories/acme/shop/image";
const image = async () => (await json<ImageState>("GET", imagePath)).body;

async function buildImage(digit: string): Promise<void> {
  const build =
    (await image()).active === null
      ? (await json<ImageState>("PUT", imagePath, { enabled: true })).body.latestBuild
      : (await json<{ build: BuildView }>("POST", `${imagePath}/builds`)).body.build;
  await playWholeBuild(await connectRuntime((await startedSandbox(build?.id ?? "")).config), someSha(digit));
  await eventually(async () => (await image()).active?.sha === someSha(digit), `the image of ${digit} is active`);
}

async function startSession(): Promise<{ session: SessionView; runtime: FakeRuntime }> {
  const session = (await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop" })).body;
  return { session, runtime: await connectRuntime((await startedSandbox(session.id)).config) };
}

const row = (id: string) =>
  env.DB.prepare("SELECT image_id, cold_reason, behind_commits, behind_oldest_at, at_head, saved_ms FROM sessions WHERE id = ?")
    .bind(id)
    .first<{ image_id: string | null; cold_reason: string | null; at_head: number | null }>();

it("[IB7] an image over the limit is not deleted before the last running session that came from it has ended", async () => {
  await buildImage("a");
  const { session } = await startSession();
  await json("PUT", `${imagePath}/settings`, { limitMinutes: 30, keptImages: 1, rebuildMode: "clean" });
  await buildImage("b");
  const [first] = (await gateway({ do: "state" })).images;
  const deleted = async () => (await gateway({ do: "state" })).deletedImages;
  await ring(imageObject());
  expect(await deleted()).toEqual([]);
  expect((await json<{ images: object[] }>("GET", "/api/images?repository=acme/shop")).body.images).toMatchObject([
    { sha: someSha("b"), runningSessions: 0 },
    { sha: someSha("a"), runningSessions: 1 },
  ]);
  await json("POST", `/api/sessions/${session.id}/stop`);
  await eventually(
    async () => (await json<SessionView>("GET", `/api/sessions/${session.id}`)).body.status === "stopped",
    "the session has ended",
  );
  await eventually(async () => {
    passTime(60_000);
    await ring(imageObject());
    return (await deleted()).length > 0;
  }, "the image is deleted");
  expect(await deleted()).toEqual([first]);
});

const listed = async (id: string) => (await json<SessionList>("GET", "/api/sessions")).body.sessions.find((one) => one.id === id);

it("[SE14] a session's row has its image, what it spared, and how far the image was behind before and after the sync", async () => {
  await buildImage("a");
  const { session, runtime } = await startSession();
  runtime.event({ type: "workspace.synced", sha: someSha("c"), bakedSha: someSha("a") });
  runtime.event({ type: "workspace.behind", commits: 3, oldestAt: 1_000 });
  runtime.event({ type: "session.ready", sha: someSha("c"), setupRan: false, agentVersion: "1" });
  const view = await eventually(async () => {
    const { body } = await json<SessionView>("GET", `/api/sessions/${session.id}`);
    return body.status === "ready" && body;
  }, "the session is ready");
  expect(view.behind).toEqual({ commits: 3, oldestAt: 1_000 });
  const { active } = await image();
  const savedMs = (view.receipt?.cold?.ms ?? 0) - (view.receipt?.startMs ?? 0);
  await eventually(async () => (await row(session.id))?.at_head !== null, "the row is written");
  expect(await row(session.id)).toEqual({
    image_id: active?.id,
    cold_reason: null,
    behind_commits: 3,
    behind_oldest_at: 1_000,
    at_head: 1,
    saved_ms: savedMs,
  });
  expect(await listed(session.id)).toMatchObject({ imageId: active?.id, coldReason: null });
});

it("[SE14] a cold session's row has the reason, and nothing of an image that was given up", async () => {
  await buildImage("a");
  const { session, runtime } = await startSession();
  runtime.event({ type: "workspace.synced", sha: someSha("c"), bakedSha: someSha("a") });
  runtime.event({ type: "workspace.behind", commits: 3, oldestAt: 1_000 });
  const failure: Failure = { code: "agent_failed", message: "m", hint: "h", phase: "agent", lines: [], exitCode: 1 };
  runtime.event({ type: "failed", failure });
  await eventually(async () => (await row(session.id))?.cold_reason === "restore_failed", "it begins again from the base");
  expect(await row(session.id)).toMatchObject({ image_id: null, behind_commits: null, behind_oldest_at: null, at_head: null });
  expect(await listed(session.id)).toMatchObject({ imageId: null, coldReason: "restore_failed" });
});
