/** What a session's page shows of an answer: through cut streams, restarts of the object and every end of a prompt. */
import { runInDurableObject } from "cloudflare:test";
import { type PromptPart } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { createPromptStore, type PromptStore } from "../../src/adapters/sqlite/prompt-store.ts";
import { sessionObject } from "./harness.ts";

const id = "prm_1";
const text = (partId: string, value: string): PromptPart => ({ kind: "text", id: partId, text: value });
const tool: PromptPart = { kind: "tool", id: "t", tool: "bash", status: "completed", title: "ls", input: "ls", output: "x" };

/** Each `open` is the store as another instance of the object finds it. */
const withPrompt = (work: (open: () => PromptStore) => void) =>
  runInDurableObject(sessionObject(`prompts-${crypto.randomUUID()}`), (_, ctx) => {
    const open = () => createPromptStore(ctx.storage.sql);
    open().add({ id, text: "do it", model: null, createdAt: 1 });
    open().started(id);
    work(open);
  });
const shown = (store: PromptStore) => store.list()[0]?.parts;

it("[SE11] parts stand in the order in which they began, also when a later one comes whole first", async () => {
  await withPrompt((open) => {
    const store = open();
    store.grew(id, "a", "text", "I lo");
    store.part(id, tool);
    store.grew(id, "a", "text", "ok");
    expect(shown(store)).toEqual([text("a", "I look"), tool]);
    store.part(id, text("a", "I look."));
    store.finished(id, "done", null, 2);
    expect(shown(store)).toEqual([text("a", "I look."), tool]);
  });
});

it("[SE11] half an answer that was given anew is shown no more, at the latest when its prompt is done", async () => {
  await withPrompt((open) => {
    const store = open();
    store.grew(id, "half", "text", "Half a sen");
    store.part(id, text("half", ""));
    expect(shown(store), "taken back").toEqual([]);
    store.grew(id, "again", "text", "Half a");
    store.grew(id, "whole", "text", "Half a");
    store.part(id, text("whole", "Half a sentence."));
    store.finished(id, "done", null, 2);
    expect(shown(store)).toEqual([text("whole", "Half a sentence.")]);
  });
});

it("[SE11] text that had arrived is kept when its prompt fails or its session ends, and by another instance", async () => {
  for (const end of [
    (store: PromptStore) => store.finished(id, "failed", "no", 2),
    (store: PromptStore) => store.finished(id, "aborted", null, 2),
    (store: PromptStore) => store.endAll("The session was stopped.", 2),
  ]) {
    await withPrompt((open) => {
      open().grew(id, "a", "text", "Half a ");
      const store = open();
      store.grew(id, "a", "text", "sentence");
      end(store);
      expect(shown(store)).toEqual([text("a", "Half a sentence")]);
      expect(shown(open())).toEqual([text("a", "Half a sentence")]);
    });
  }
});
