/** Sessions that an agent begins from its own, through the real Worker and objects. */
import { type AgentSessionRequest, type BridgeDown, type SessionList } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { limits } from "../../src/domain/deadlines.ts";
import { connectRuntime, eventually, type FakeRuntime, json, startedSandbox } from "./harness.ts";
import { ready, start, untilStatus, read as view } from "./session-world.ts";

type Answer = Extract<BridgeDown, { type: "session.answer" | "session.refused" }>;
const connected = async (id: string): Promise<FakeRuntime> => {
  const runtime = await connectRuntime((await startedSandbox(id)).config, { bootId: id });
  runtime.event(ready);
  await untilStatus(id, "ready");
  return runtime;
};
async function startSession() {
  const session = await start();
  return { session, runtime: await connected(session.id) };
}

let serial = 0;
function ask(runtime: FakeRuntime, request: AgentSessionRequest, id = `request-${++serial}`): Promise<Answer> {
  const isIt = (one: BridgeDown): one is Answer =>
    (one.type === "session.answer" || one.type === "session.refused") && one.id === id;
  const before = runtime.received.filter(isIt).length;
  runtime.send({ type: "session.request", id, request });
  return eventually(async () => runtime.received.filter(isIt)[before], `an answer to ${id}`);
}
const begin = async (runtime: FakeRuntime, prompt = "Do a part", id?: string): Promise<string> => {
  const answer = await ask(runtime, { call: "start", prompt }, id);
  if (answer.type === "session.refused") throw new Error(answer.message);
  return answer.sessions[0]?.id ?? "";
};

it("[SU1] a session that an agent begins is of the same repository, the author's, and known by the session that began it", async () => {
  const { session, runtime } = await startSession();
  const answer = await ask(runtime, { call: "start", prompt: "Do a part\nof it" });
  expect(answer).toMatchObject({
    type: "session.answer",
    sessions: [{ title: "Do a part", isWorking: true, url: expect.stringContaining("http://dashboard.test/sessions/ses_") }],
  });
  const id = answer.type === "session.answer" ? (answer.sessions[0]?.id ?? "") : "";
  expect(await view(id)).toMatchObject({
    ...{ parentId: session.id, branch: "main", repository: session.repository, author: session.author },
    prompts: [{ text: "Do a part\nof it", author: session.author }],
  });
  const { body } = await json<SessionList>("GET", `/api/sessions?parent=${session.id}`);
  expect(body.sessions.map((one) => one.id)).toEqual([id]);
});

it("[SU1] a start that is asked for again after a cut is the same session", async () => {
  const { runtime } = await startSession();
  const id = await begin(runtime, "Do a part", "request-of-this-boot");
  const again = await connectRuntime(runtime.config, { bootId: "another", seq: 0 });
  expect(await begin(again, "Do a part", "request-of-this-boot")).toBe(id);
  const both = await Promise.all([begin(again, "Another", "twice"), begin(again, "Another", "twice")]);
  expect(both[0]).toBe(both[1]);
  expect(both[0]).not.toBe(id);
});

it("[SU2] more than may be at work, or deeper than may be, is refused in words; what failed to begin is not counted", async () => {
  const { runtime } = await startSession();
  const wrong = await ask(runtime, { call: "start", prompt: "x", branch: "none" });
  expect(wrong).toMatchObject({ type: "session.refused", message: expect.stringMatching(/no branch none.*Push it first/) });
  expect(await ask(runtime, { call: "start", prompt: "x", model: "none" })).toMatchObject({
    type: "session.refused",
    message: expect.stringContaining("Use one of a-model"),
  });
  const children = [];
  for (let index = 0; index < limits.subSessionsAtWork - 1; index++) children.push(await begin(runtime));
  const child = await connected(children[0] ?? "");
  const grandchild = await connected(await begin(child, "Deeper"));
  for (const full of [runtime, child]) {
    expect(await ask(full, { call: "start", prompt: "x" })).toMatchObject({ message: expect.stringMatching(/Wait until one/) });
  }
  expect(await ask(grandchild, { call: "start", prompt: "x" })).toMatchObject({ message: expect.stringMatching(/levels deep/) });
});

it("[SU3] an agent reads the sessions that it began itself, with the end of their last answer, and no others", async () => {
  const { runtime } = await startSession();
  const id = await begin(runtime);
  const child = await connected(id);
  const prompt = await eventually(async () => child.received.find((one) => one.type === "prompt"), "the prompt is sent");
  child.event({ type: "prompt.started", promptId: prompt.promptId });
  child.event({ type: "prompt.part", promptId: prompt.promptId, part: { kind: "text", id: "a", text: "It is done." } });
  child.event({ type: "prompt.finished", promptId: prompt.promptId, outcome: "done", error: null });
  const read = await eventually(async () => {
    const answer = await ask(runtime, { call: "read", sessionId: id });
    return answer.type === "session.answer" && answer.sessions[0]?.isWorking === false && answer;
  }, "the answer is read");
  expect(read.sessions[0]).toMatchObject({ id, status: "ready", lastAnswer: "It is done." });
  const listed = await ask(runtime, { call: "list" });
  expect(listed).toMatchObject({ type: "session.answer", sessions: [{ id, lastAnswer: null }] });

  const stranger = await startSession();
  const foreign = await ask(stranger.runtime, { call: "read", sessionId: id });
  expect(foreign).toMatchObject({ type: "session.refused", message: expect.stringContaining("began no session") });
  expect(await ask(stranger.runtime, { call: "list" })).toMatchObject({ sessions: [] });
  expect(await ask(child, { call: "read", sessionId: stranger.session.id })).toMatchObject({ type: "session.refused" });
});
