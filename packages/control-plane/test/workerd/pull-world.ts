/** What tests of pull requests share: a session that is ready, its push to play, and requests to it. */
import { type BridgeDown, type ErrorBody, type RuntimeEvent, type SessionView } from "@open-inspect/protocol";
import { connectRuntime, eventually, type FakeRuntime, json, someSha, startedSandbox } from "./harness.ts";

export type Push = Extract<BridgeDown, { type: "push" }>;
export const ready = { type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" } as const;
export const viewSession = async (id: string): Promise<SessionView> =>
  (await json<SessionView>("GET", `/api/sessions/${id}`)).body;

export async function startSession(prompt?: string, name = "shop"): Promise<{ session: SessionView; runtime: FakeRuntime }> {
  const body = { repository: { owner: "acme", name }, ...(prompt === undefined ? {} : { prompt }) };
  const { body: session } = await json<SessionView>("POST", "/api/sessions", body);
  const runtime = await connectRuntime((await startedSandbox(session.id)).config);
  return { session, runtime };
}
export async function readySession(name?: string) {
  const started = await startSession("Fix the checkout", name);
  started.runtime.event(ready);
  await eventually(async () => (await viewSession(started.session.id)).status === "ready", "the session is ready");
  return started;
}
export const ask = (id: string, body: object = {}) =>
  json<SessionView & ErrorBody>("POST", `/api/sessions/${id}/pull-request`, body);
export const pushes = (runtime: FakeRuntime) => runtime.received.filter((one): one is Push => one.type === "push");
export const pushOf = (runtime: FakeRuntime, count = 1): Promise<Push> =>
  eventually(async () => pushes(runtime)[count - 1], `push ${count} is asked for`);
export type PushOutcome = Extract<RuntimeEvent, { type: "push.finished" }>["outcome"];
export const finish = (runtime: FakeRuntime, { pushId }: Push, outcome: PushOutcome) =>
  runtime.event({ type: "push.finished", pushId, outcome });
export const pushed = (push: Push): PushOutcome => ({ kind: "pushed", branch: push.branch, sha: someSha("c"), commits: 1 });
/** Asks, plays the push, and takes the answer. */
export async function opened(runtime: FakeRuntime, id: string, body: object = {}) {
  const count = pushes(runtime).length + 1;
  const answer = ask(id, body);
  const push = await pushOf(runtime, count);
  finish(runtime, push, pushed(push));
  return { push, answer: await answer };
}
