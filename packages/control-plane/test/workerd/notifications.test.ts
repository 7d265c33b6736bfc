/** Failing builds are told to targets: through the real Worker and objects, to receivers in Node. */
import { env } from "cloudflare:workers";
import {
  type BuildView,
  type ErrorBody,
  type Failure,
  type ImageState,
  type NotificationTarget,
  type NotificationTargetList,
  type NotificationTest,
  notificationSchema,
} from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { signNotification } from "../../src/adapters/notifier.ts";
import {
  connectRuntime,
  eventually,
  hooks,
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
const secret = "a-secret-of-the-receiver";
const put = (name: string, body: object) => json<NotificationTarget>("PUT", `/api/notifications/${name}`, body);
const targets = async () => (await json<NotificationTargetList>("GET", "/api/notifications")).body.targets;
const received = async (path: string) => (await hooks()).filter((one) => one.path === path);
const typesAt = async (path: string) => (await received(path)).map(({ body }) => notificationSchema.parse(JSON.parse(body)).type);

async function build(outcome: "good" | "bad", digit: string): Promise<string> {
  const asked = (await image()).enabled
    ? (await json<{ build: BuildView }>("POST", `${imagePath}/builds`)).body.build
    : (await json<ImageState>("PUT", imagePath, { enabled: true })).body.latestBuild;
  const id = asked?.id ?? "";
  const runtime = await connectRuntime((await startedSandbox(id)).config);
  if (outcome === "good") {
    await playWholeBuild(runtime, someSha(digit));
    await eventually(async () => (await image()).active?.sha === someSha(digit), `the image of ${digit}`);
    return id;
  }
  const failure: Failure = {
    code: "setup_failed",
    message: "it broke",
    hint: "mend it",
    phase: "setup",
    lines: ["x"],
    exitCode: 1,
  };
  runtime.event({ type: "workspace.synced", sha: someSha(digit), bakedSha: null });
  runtime.event({ type: "failed", failure });
  await eventually(async () => {
    const { latestBuild } = await image();
    return latestBuild?.id === id && latestBuild.status === "failed";
  }, "the build has failed");
  return id;
}

it("[NO1] [NO2] a new failure is told once, and the recovery; after it a failure is new again", async () => {
  await put("ops", { format: "json", url: "http://hooks.test/ops", secret });
  await put("chat", { format: "slack", url: "http://hooks.test/chat" });
  const failed = await build("bad", "a");
  await eventually(async () => (await received("/ops")).length === 1, "the failure is told");
  const [hook] = await received("/ops");
  expect(notificationSchema.parse(JSON.parse(hook?.body ?? ""))).toEqual({
    id: `${failed}.failing`,
    type: "image.failing",
    at: expect.any(Number),
    repository: { owner: "Acme", name: "Shop" },
    build: {
      id: failed,
      sha: someSha("a"),
      failure: { code: "setup_failed", message: "it broke", hint: "mend it", phase: "setup" },
    },
    url: `http://dashboard.test/builds/${failed}`,
  });
  expect(hook?.headers).toMatchObject({ "open-inspect-event": "image.failing", "open-inspect-delivery": `${failed}.failing` });
  const [, seconds = "", mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(hook?.headers["open-inspect-signature"] ?? "") ?? [];
  expect(Math.abs(Number(seconds) * 1000 - Date.now())).toBeLessThan(60_000);
  expect(await signNotification(secret, hook?.body ?? "", Number(seconds) * 1000)).toBe(`t=${seconds},v1=${mac}`);
  expect(await signNotification("another-secret-altogether", hook?.body ?? "", Number(seconds) * 1000)).not.toContain(mac);
  await build("bad", "b");
  await build("good", "c");
  await eventually(async () => (await received("/ops")).length === 2, "the recovery is told");
  expect(await typesAt("/ops")).toEqual(["image.failing", "image.recovered"]);
  await build("bad", "d");
  await eventually(async () => (await received("/ops")).length === 3, "the new failure is told");
  expect(await typesAt("/ops")).toEqual(["image.failing", "image.recovered", "image.failing"]);
  const chat = (await received("/chat")).map(({ body }) => JSON.parse(body) as { text: string });
  expect(chat.map(({ text }) => text.split(":")[1])).toEqual(["red_circle", "large_green_circle", "red_circle"]);
  expect((await received("/chat"))[0]?.headers).not.toHaveProperty("open-inspect-signature");
});

it("[NO3] a target that is away is tried again until it has it; the others are told once, one that refuses is left alone", async () => {
  for (const name of ["away", "here", "closed"]) await put(name, { format: "json", url: `http://hooks.test/${name}`, secret });
  await hooks({ do: "answer", path: "/away", statuses: [500, 429] });
  await hooks({ do: "answer", path: "/closed", statuses: [410] });
  await build("bad", "a");
  await eventually(async () => (await received("/away")).length === 1, "the first try");
  expect((await targets()).map(({ name, lastDelivery }) => [name, lastDelivery?.outcome, lastDelivery?.cause])).toEqual([
    ["away", "failed", "It answered 500."],
    ["closed", "refused", "It answered 410."],
    ["here", "delivered", null],
  ]);
  await eventually(async () => {
    passTime(20_000);
    await ring(imageObject());
    return (await received("/away")).length === 3;
  }, "it is told at last");
  const bodies = new Set((await received("/away")).map(({ body }) => body));
  expect(bodies.size, "each try says the same").toBe(1);
  await eventually(
    async () => (await targets()).find(({ name }) => name === "away")?.lastDelivery?.outcome === "delivered",
    "it is noted",
  );
  expect([(await received("/here")).length, (await received("/closed")).length]).toEqual([1, 1]);
});

it("[NO3] a target that stays away is given up", async () => {
  await put("away", { format: "json", url: "http://hooks.test/away", secret });
  await hooks({ do: "answer", path: "/away", statuses: Array.from({ length: 30 }, () => 503) });
  await build("bad", "a");
  await eventually(async () => {
    passTime(1_900_000);
    await ring(imageObject());
    return (await received("/away")).length >= 10;
  }, "all tries");
  for (let more = 0; more < 3; more++) {
    passTime(1_900_000);
    await ring(imageObject());
  }
  expect(await received("/away")).toHaveLength(10);
});

it("[NO4] [NO5] targets are set and deleted; secrets and secret addresses are never shown, a sample says what became of it", async () => {
  const slack = "http://hooks.test/services/T0/B0/very-secret-token";
  expect((await put("chat", { format: "slack", url: slack })).body).toMatchObject({
    url: "http://hooks.test/…",
    hasSecret: false,
  });
  const made = await put("ops", { format: "json", url: "http://hooks.test/ops?key=in-the-query", secret });
  expect(made.body).toEqual({
    ...{ name: "ops", format: "json", url: "http://hooks.test/ops", hasSecret: true },
    ...{ createdAt: expect.any(Number), createdBy: "dev", lastDelivery: null },
  });
  const stored = JSON.stringify([await targets(), (await env.DB.prepare("SELECT * FROM notification_targets").all()).results]);
  for (const hidden of [secret, "in-the-query", "very-secret-token"]) expect(stored).not.toContain(hidden);
  expect((await json<NotificationTest>("POST", "/api/notifications/ops/test")).body).toEqual({
    outcome: "delivered",
    cause: null,
  });
  expect(await typesAt("/ops")).toEqual(["test"]);
  await hooks({ do: "answer", path: "/ops", statuses: [302] });
  expect((await json<NotificationTest>("POST", "/api/notifications/ops/test")).body).toEqual({
    outcome: "refused",
    cause: "It answered 302.",
  });
  expect(await received("/elsewhere")).toEqual([]);
  const again = await put("ops", { format: "json", url: "http://hooks.test/ops2" });
  expect(again.body, "the secret stays").toMatchObject({ url: "http://hooks.test/ops2", hasSecret: true });
  const wrong = async (name: string, body: object) =>
    (await json<ErrorBody>("PUT", `/api/notifications/${name}`, body)).body.error;
  expect(await wrong("new", { format: "json", url: "http://hooks.test/x" })).toMatchObject({ code: "invalid_request" });
  expect(await wrong("new", { format: "slack", url: "ftp://hooks.test/x" })).toMatchObject({ code: "invalid_request" });
  expect(await wrong("Not%20a%20name", { format: "slack", url: slack })).toMatchObject({ code: "invalid_request" });
  expect(await wrong("new", { format: "json", url: "http://hooks.test/x", secret: "short" })).toMatchObject({
    code: "invalid_request",
  });
  expect((await json<{ deleted: boolean }>("DELETE", "/api/notifications/ops")).body).toEqual({ deleted: true });
  expect((await json<{ deleted: boolean }>("DELETE", "/api/notifications/ops")).body).toEqual({ deleted: false });
  expect((await json<ErrorBody>("POST", "/api/notifications/ops/test")).body.error.code).toBe("notification_target_not_found");
  expect((await targets()).map(({ name }) => name)).toEqual(["chat"]);
});
