/** Sessions whose sandbox is lost, through the real Worker and objects: who is told, and what starts again by itself. */
import { type Failure, type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import {
  connectRuntime,
  eventually,
  type FakeRuntime,
  gateway,
  json,
  passTime,
  ring,
  ringWithin,
  sessionObject,
  startedSandbox,
} from "./harness.ts";
import { ask, read, ready, start } from "./session-world.ts";

/** The runtime of the sandbox that was started last, when it is another one. */
async function nextRuntime(id: string, before?: FakeRuntime): Promise<FakeRuntime> {
  const { config } = await eventually(async () => {
    const sandbox = await startedSandbox(id);
    return sandbox.config.bridgeToken === before?.config.bridgeToken ? null : sandbox;
  }, "another sandbox is started");
  return connectRuntime(config);
}
const promptOf = (runtime: FakeRuntime, text: string) =>
  eventually(
    async () => runtime.received.find((one) => one.type === "prompt" && one.text === text),
    `the prompt "${text}" arrives`,
  );

async function kill(id: string, runtime: FakeRuntime): Promise<void> {
  const { sandboxId } = await startedSandbox(id);
  await gateway({ do: "kill", sandboxId, status: { status: "ended", exitCode: 137, reason: "exited" } });
  runtime.socket.close(1001, "gone");
  await ringWithin(sessionObject(id), deadlines.pollAfterCloseMs);
}

it("[SE21] [SE22] a sandbox that dies in a prompt fails it with the cause, and the session starts again for the one that waits", async () => {
  const session = await start({ prompt: "first" });
  const first = await nextRuntime(session.id);
  first.event(ready);
  const sent = await promptOf(first, "first");
  first.event({ type: "prompt.started", promptId: sent.type === "prompt" ? sent.promptId : "" });
  await ask(session.id, "second");
  await eventually(async () => (await read(session.id)).prompts[0]?.status === "running", "the first one runs");
  await kill(session.id, first);
  const second = await nextRuntime(session.id, first);
  second.event(ready);
  await promptOf(second, "second");
  const { prompts, status, failure, fallbacks } = await read(session.id);
  expect(prompts).toMatchObject([
    { status: "failed", error: expect.stringContaining("The sandbox died") },
    { status: "running", error: null },
  ]);
  expect({ status, failure }).toEqual({ status: "ready", failure: null });
  expect(fallbacks).toMatchObject([{ from: "snapshot" }, { from: "image" }]);
  expect((await connectRuntime(first.config)).closed?.code, "the dead one is not listened to").toBe(4001);
});

it("[SE20] a session that fails three times in a row tells its prompt why, and starts again when a person says so", async () => {
  const session = await start({ prompt: "do it" });
  const failure: Failure = { code: "agent_failed", message: "It is broken.", hint: "h", phase: "agent", lines: [], exitCode: 1 };
  let runtime: FakeRuntime | undefined;
  for (let time = 0; time < 3; time++) {
    runtime = await nextRuntime(session.id, runtime);
    runtime.event({ type: "failed", failure });
  }
  const failed = await eventually(async () => {
    const view = await read(session.id);
    return view.status === "failed" && view.prompts[0]?.status === "cancelled" && view;
  }, "it gives up");
  expect(failed.failure).toMatchObject({ code: "starts_suspended", message: expect.stringContaining("It is broken.") });
  expect(failed.prompts[0]?.error).toContain("3 times");
  await ask(session.id, "again");
  expect((await read(session.id)).prompts[1]).toMatchObject({ status: "cancelled", error: expect.stringContaining("3 times") });
  const { status, body } = await json<SessionView>("POST", `/api/sessions/${session.id}/resume`);
  expect({ status, failure: body.failure }).toEqual({ status: 200, failure: null });
  const next = await nextRuntime(session.id, runtime);
  await ask(session.id, "once more");
  next.event(ready);
  await promptOf(next, "once more");
});

it("[SE18] after 23.5 hours of work a session goes on in a new sandbox with its files; the prompt in hand is told", async () => {
  const session = await start({ prompt: "long" });
  const first = await nextRuntime(session.id);
  first.event(ready);
  const sent = await promptOf(first, "long");
  first.event({ type: "prompt.started", promptId: sent.type === "prompt" ? sent.promptId : "" });
  await ask(session.id, "later");
  await eventually(async () => (await read(session.id)).prompts[0]?.status === "running", "the first one runs");
  // The heartbeats of a day.
  passTime(deadlines.moveMs);
  first.send({ type: "heartbeat", at: Date.now() });
  await new Promise((resolve) => setTimeout(resolve, 20));
  await ring(sessionObject(session.id));
  await eventually(async () => first.received.some((one) => one.type === "abort"), "the agent is told to stop");
  await ringWithin(sessionObject(session.id), deadlines.settleMs);
  const second = await nextRuntime(session.id, first);
  expect(second.config).toMatchObject({ startFrom: "snapshot" });
  second.event(ready);
  await promptOf(second, "later");
  const { prompts } = await read(session.id);
  expect(prompts).toMatchObject([{ status: "failed", error: expect.stringContaining("24 hours") }, { status: "running" }]);
});
