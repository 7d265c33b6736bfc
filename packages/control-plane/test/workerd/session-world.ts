/** What tests of sessions share: one that begins, is read, is asked something, and has come so far. */
import { type PromptView, type SessionView } from "@open-inspect/protocol";
import { eventually, json, someSha } from "./harness.ts";

/** what a runtime says when its workspace is synced and its agent answers */
export const ready = { type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" } as const;

export async function start(body: object = {}): Promise<SessionView> {
  const answer = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", ...body });
  if (answer.status !== 201) throw new Error(`no session: ${JSON.stringify(answer.body)}`);
  return answer.body;
}
export const read = async (id: string): Promise<SessionView> => (await json<SessionView>("GET", `/api/sessions/${id}`)).body;
export const ask = async (id: string, text: string): Promise<PromptView> =>
  (await json<PromptView>("POST", `/api/sessions/${id}/prompts`, { text })).body;
export const untilStatus = (id: string, status: SessionView["status"]): Promise<SessionView> =>
  eventually(async () => {
    const view = await read(id);
    return view.status === status && view;
  }, `the session becomes ${status}`);
