/** What a sandbox does that was cut off, stopped or left: nothing of it counts any more, on whichever way it comes, and it is told so. */
import { exports } from "cloudflare:workers";
import { bridgeCloseCodes, type PromptView, type SessionList } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import {
  connectRuntime,
  eventually,
  type FakeRuntime,
  gateway,
  json,
  origin,
  passTime,
  ring,
  ringWithin,
  sessionObject,
  startedSandbox,
} from "./harness.ts";
import { read, ready, start } from "./session-world.ts";

/** A session whose prompt runs in its sandbox. */
async function startWork(body: object = {}) {
  const { id } = await start({ prompt: "work", ...body });
  const { config, sandboxId } = await startedSandbox(id);
  const runtime = await connectRuntime(config);
  runtime.event(ready);
  const sent = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
  const promptId = sent.type === "prompt" ? sent.promptId : "";
  runtime.event({ type: "prompt.started", promptId });
  await eventually(async () => (await read(id)).prompts[0]?.status === "running", "it runs");
  return { id, config, sandboxId, runtime, promptId };
}
const cut = async (id: string, runtime: FakeRuntime): Promise<void> => {
  runtime.socket.close(1001, "cut");
  await eventually(async () => runtime.closed, `the socket of ${id} is closed`);
};
const abortsOf = ({ received }: FakeRuntime): string[] => received.flatMap((one) => (one.type === "abort" ? [one.promptId] : []));

it("[PR4] a sandbox that was cut off when its prompt was stopped is told when it is back, until it says that it has ended", async () => {
  const { id, config, runtime, promptId } = await startWork();
  const later = (await json<PromptView>("POST", `/api/sessions/${id}/prompts`, { text: "later" })).body;
  await cut(id, runtime);
  await json("POST", `/api/sessions/${id}/prompts/${promptId}/stop`);
  passTime(deadlines.promptStopMs);
  await ring(sessionObject(id));
  expect((await read(id)).prompts[0]?.status, "it is stopped all the same").toBe("stopped");

  const back = await connectRuntime(config, { seq: runtime.seq });
  await eventually(async () => back.received.some((one) => one.type === "prompt"), "the next one is sent");
  const told = back.received.filter((one) => one.type === "abort" || one.type === "prompt");
  expect(told, "what is stopped goes first, since the next one waits for it in the sandbox").toMatchObject([
    { type: "abort", promptId },
    { type: "prompt", promptId: later.id },
  ]);
  back.event({ type: "prompt.delta", promptId, partId: "late", kind: "text", delta: "a late word" });
  back.event({ type: "prompt.finished", promptId, outcome: "aborted", error: null });
  await eventually(async () => back.received.some((one) => one.type === "ack" && one.seq === back.seq), "it has said so");
  expect((await read(id)).prompts[0]).toMatchObject({ status: "stopped", parts: [] });
  await cut(id, back);
  expect(abortsOf(await connectRuntime(config, { seq: back.seq }))).toEqual([]);
});

it("[SE22] a sandbox that is being ended gets no credential and begins no session; one that has ended is refused everywhere", async () => {
  const { id, config, runtime } = await startWork({
    attachments: [{ name: "a.txt", mime: "text/plain", data: btoa("attached") }],
  });
  const attachment = (await read(id)).prompts[0]?.attachments[0]?.id ?? "";
  const ask = async (path: string, init: RequestInit) => {
    const answer = await exports.default.fetch(`${origin}${path}`, init);
    await answer.arrayBuffer();
    return answer;
  };
  const file = () =>
    ask(`/bridge/sessions/${id}/attachments/${attachment}`, {
      headers: { authorization: `Bearer ${config.bridgeToken}` },
    });
  const model = () =>
    ask("/model/v1/messages", {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": config.mode === "session" ? config.agent.modelToken : "" },
      body: "{}",
    });
  expect([(await file()).status, (await model()).status], "while it lives").toEqual([200, 200]);
  await json("POST", `/api/sessions/${id}/stop`);
  runtime.send({ type: "session.request", id: "while-kept", request: { call: "start", prompt: "Go on elsewhere" } });
  const kept = await eventually(
    async () => runtime.received.find((one) => "id" in one && one.id === "while-kept"),
    "an answer while it is kept",
  );
  expect(kept).toMatchObject({ type: "session.refused", message: expect.stringContaining("being stopped") });

  // The end of the sandbox is not answered, so that it lives on for a while.
  await gateway({ do: "fault", fault: { call: "terminate", kind: "transient", times: 50 } });
  await ringWithin(sessionObject(id), deadlines.settleMs);
  await eventually(async () => (await read(id)).status === "stopping", "it is ended");
  runtime.send({ type: "credential.request", id: "late" });
  runtime.send({ type: "session.request", id: "later", request: { call: "start", prompt: "Go on elsewhere" } });
  const late = await eventually(async () => {
    const answers = runtime.received.filter((one) => "id" in one && (one.id === "late" || one.id === "later"));
    return answers.length === 2 && answers;
  }, "both are answered");
  expect(late.map((one) => one.type).sort()).toEqual(["credential.refused", "session.refused"]);
  expect((await json<SessionList>("GET", `/api/sessions?parent=${id}`)).body.sessions).toEqual([]);
  expect((await file()).status).toBe(404);
  passTime(5_000);
  expect((await model()).status).toBe(401);
  runtime.event({ type: "log", phase: "agent", stream: "stdout", text: "a late line\n" });
  runtime.event({ type: "todos", todos: [{ content: "late", status: "pending" }] });
  runtime.event({
    type: "failed",
    failure: { code: "agent_failed", message: "late", hint: "", phase: null, lines: [], exitCode: 1 },
  });
  await eventually(async () => runtime.received.some((one) => one.type === "ack" && one.seq === runtime.seq), "it is taken");
  passTime(deadlines.stopLimitMs);
  await ring(sessionObject(id));
  const stopped = await eventually(async () => {
    const view = await read(id);
    return view.status === "stopped" && view;
  }, "it is stopped");
  expect(stopped).toMatchObject({ failure: null, todos: [] });
  await eventually(async () => runtime.closed, "the socket is closed");
  expect((await connectRuntime(config)).closed?.code).toBe(bridgeCloseCodes.ended);
});
