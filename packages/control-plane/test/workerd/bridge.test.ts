/** The bridge's refusals, its numbers and its credentials, and the model proxy's door. */
import { abortAllDurableObjects } from "cloudflare:test";
import { exports } from "cloudflare:workers";
import { bridgeFrameMaxBytes, type ImageState, type RuntimeConfig, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { mintToken, verifyToken } from "../../src/adapters/sandbox-tokens.ts";
import {
  call,
  connectRuntime,
  eventually,
  type FakeRuntime,
  github,
  json,
  origin,
  passTime,
  startedSandbox,
  watchSession,
} from "./harness.ts";

async function startBuild(): Promise<RuntimeConfig> {
  const { body } = await json<ImageState>("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  return (await startedSandbox(body.latestBuild?.id ?? "")).config;
}
async function startSession(): Promise<{ id: string; config: Extract<RuntimeConfig, { mode: "session" }> }> {
  const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop" });
  const { config } = await startedSandbox(body.id);
  if (config.mode !== "session") throw new Error("not a session");
  return { id: body.id, config };
}
const closeCode = (runtime: FakeRuntime) =>
  eventually(async () => runtime.closed, "the socket is closed").then(({ code }) => code);
const log = (text: string) => ({ type: "log", phase: "setup", stream: "stdout", text }) as const;

it("[BR1] only the token of this attempt, this owner and this purpose comes in; a refusal is a final close code", async () => {
  const build = await startBuild();
  const { config: session } = await startSession();
  const wrong: Record<string, string> = {
    "another owner's": session.bridgeToken,
    "the model's": session.mode === "session" ? session.agent.modelToken : "",
    garbage: "x".repeat(64),
    altered: `${build.bridgeToken.slice(0, -1)}${build.bridgeToken.endsWith("0") ? "1" : "0"}`,
  };
  for (const [name, token] of Object.entries(wrong)) {
    const url = name === "the model's" ? session : build;
    expect((await connectRuntime(url, { token })).closed?.code, name).toBe(4001);
  }
  const owner = build.mode === "build" ? build.buildId : "";
  const secret = "a-gateway-secret-of-the-tests-with-length";
  const retired = await mintToken(secret, "bridge", { ownerId: owner, attempt: "0".repeat(32) });
  expect((await connectRuntime(build, { token: retired })).closed?.code, "an attempt that is over").toBe(4001);
  expect(await verifyToken("another-secret-of-some-length-too", "bridge", build.bridgeToken)).toBeNull();
  expect(await verifyToken(secret, "bridge", build.bridgeToken)).toMatchObject({ ownerId: owner });
  const plain = await exports.default.fetch(build.bridgeUrl.replace(/^ws/, "http"));
  expect(plain.status).toBe(426);
});

it("[BR2] [BR6] numbers go on where they were, for a reconnect, after a restart, and from one for a new process", async () => {
  const config = await startBuild();
  const first = await connectRuntime(config);
  for (let line = 0; line < 40; line++) first.event(log(`${line}\n`));
  await eventually(async () => first.received.some((one) => one.type === "ack" && one.seq >= 32), "groups are acknowledged");
  first.send({ type: "heartbeat", at: 0 });
  await eventually(
    async () => first.received.some((one) => one.type === "ack" && one.seq === 40),
    "the heartbeat acknowledges the rest",
  );
  await abortAllDurableObjects();
  const second = await connectRuntime(config, { seq: 40 });
  expect(second.received[0]).toEqual({ type: "welcome", ack: 40 });
  second.event({ type: "phase.started", phase: "setup" });
  await eventually(
    async () => second.received.some((one) => one.type === "ack" && one.seq === 41),
    "other events are acknowledged at once",
  );
  const reborn = await connectRuntime(config, { bootId: "boot-2" });
  expect(reborn.received[0]).toEqual({ type: "welcome", ack: 0 });
});

it("[BR2] a gap is answered with where to go on; what comes twice is applied once", async () => {
  const { id, config } = await startSession();
  const runtime = await connectRuntime(config);
  const say = (seq: number) => runtime.send({ type: "event", seq, at: 0, event: log(`${seq}\n`) });
  const welcomes = () => runtime.received.filter((one) => one.type === "welcome");
  for (const seq of [1, 3, 4]) say(seq);
  await eventually(async () => welcomes().length === 2, "it says where to go on");
  expect(welcomes()).toEqual([
    { type: "welcome", ack: 0 },
    { type: "welcome", ack: 1 },
  ]);
  for (const seq of [2, 3, 2, 3, 4]) say(seq);
  await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === 4), "all is applied");
  const { messages } = await watchSession(id);
  const lines = () => messages.flatMap((one) => (one.type === "log" ? one.entries : [])).filter((one) => one.stream === "stdout");
  await eventually(async () => lines().length >= 4, "the log");
  expect(lines().map((one) => one.text)).toEqual(["1\n", "2\n", "3\n", "4\n"]);
});

it("[BR3] a newer socket replaces the older one", async () => {
  const config = await startBuild();
  const older = await connectRuntime(config);
  const newer = await connectRuntime(config);
  expect(await closeCode(older)).toBe(4000);
  newer.event(log("from the newer\n"));
  newer.send({ type: "heartbeat", at: 0 });
  await eventually(async () => newer.received.some((one) => one.type === "ack"), "the newer one is heard");
});

it("[BR4] what is no message of the protocol is refused with its code", async () => {
  const config = await startBuild();
  const cases: [string | ArrayBuffer, number][] = [
    ["not json", 4003],
    [JSON.stringify({ type: "dance" }), 4003],
    [new ArrayBuffer(4), 4003],
    ["x".repeat(bridgeFrameMaxBytes + 1), 4004],
    [JSON.stringify("é".repeat(bridgeFrameMaxBytes / 2)), 4004],
  ];
  for (const [data, code] of cases) {
    const runtime = await connectRuntime(config);
    runtime.socket.send(data);
    expect(await closeCode(runtime), String(data).slice(0, 40)).toBe(code);
  }
});

it("[BR5] a credential is a token for that one repository, contents read only; a refusal says why", async () => {
  const runtime = await connectRuntime(await startBuild());
  runtime.send({ type: "credential.request", id: "c1" });
  const answer = await eventually(async () => runtime.received.find((one) => one.type === "credential"), "a credential arrives");
  expect(answer).toMatchObject({ id: "c1", username: "x-access-token", password: expect.stringMatching(/^ghs_/) });
  const { tokenBodies, calls } = await github({ do: "state" });
  expect(tokenBodies).toContainEqual({ repositories: ["Shop"], permissions: { contents: "read" } });
  runtime.send({ type: "credential.request", id: "c2" });
  await eventually(
    async () => runtime.received.some((one) => one.type === "credential" && one.id === "c2"),
    "another one arrives",
  );
  const after = await github({ do: "state" });
  const minted = (list: string[]) => list.filter((one) => one.endsWith("/access_tokens")).length;
  expect(minted(after.calls), "it is kept while it is good").toBe(minted(calls));
});

it("[BR5] a refused credential says why", async () => {
  await json("GET", "/api/repositories");
  const { config } = await startSession();
  const runtime = await connectRuntime(config);
  await github({ do: "down", status: 403 });
  await github({ do: "repositories", repositories: [] });
  runtime.send({ type: "credential.request", id: "c1" });
  const answer = await eventually(
    async () => runtime.received.find((one) => one.type === "credential.refused" || one.type === "credential"),
    "an answer arrives",
  );
  if (answer.type === "credential.refused") expect(answer.message).toContain("fake outage");
});

it("[MP1] the model's door opens for the token of a live session alone, and hands over the real key", async () => {
  const { id, config } = await startSession();
  const runtime = await connectRuntime(config);
  const ask = (headers: Record<string, string>, path = "/model/v1/messages") => call("POST", path, { model: "m" }, headers);
  expect((await ask({})).status).toBe(401);
  expect((await ask({ "x-api-key": config.bridgeToken })).status, "the bridge's token is for the bridge").toBe(401);
  const answer = await ask({ "x-api-key": config.agent.modelToken, "anthropic-version": "2023-06-01", cookie: "a=b" });
  expect(answer.headers.get("content-type")).toBe("text/event-stream");
  expect(await answer.text()).toContain("message_stop");
  await (await ask({ authorization: `Bearer ${config.agent.modelToken}` }, "/model/v1/messages/count_tokens")).text();
  const requests = await (await fetch("http://model.test/__control")).json<
    { path: string; headers: Record<string, string>; body: string }[]
  >();
  expect(requests.map((one) => one.path)).toEqual(["/v1/messages", "/v1/messages/count_tokens"]);
  expect(requests[0]?.headers).toMatchObject({ "x-api-key": "the-real-model-key", "anthropic-version": "2023-06-01" });
  expect(JSON.stringify(requests)).not.toContain(config.agent.modelToken);
  expect(requests[0]?.headers).not.toHaveProperty("cookie");
  expect(config.agent.modelBaseUrl).toBe(`${origin}/model`);
  await json("POST", `/api/sessions/${id}/stop`);
  await eventually(async () => runtime.closed, "the session is over");
  passTime(2_000);
  expect((await ask({ "x-api-key": config.agent.modelToken })).status, "the token is refused soon").toBe(401);
});
