/** The reducer that pages and the control plane's tests share. */
import { expect, it } from "vitest";
import {
  applySessionEvent,
  emptyReplica,
  followSession,
  type PromptHead,
  type SessionEvent,
  type SessionState,
  type SessionView,
} from "../src/index.ts";

const promptId = "prm_01k00000000000000000000000";
const head = (more: Partial<PromptHead> = {}): PromptHead => ({
  id: promptId,
  author: null,
  text: "do it",
  model: null,
  attachments: [],
  status: "running",
  error: null,
  createdAt: 1,
  startedAt: 2,
  finishedAt: null,
  usage: null,
  ...more,
});
const state: SessionState = {
  id: "ses_01k00000000000000000000000",
  repository: { owner: "acme", name: "shop" },
  branch: "main",
  status: "ready",
  isWorking: true,
  createdAt: 1,
  readyAt: 2,
  endedAt: null,
  activeAt: 2,
  startMs: 1,
  startedFrom: "image",
  title: "a",
  author: null,
  usage: null,
  imageId: null,
  coldReason: null,
  promptCount: 0,
  pullRequest: null,
  parentId: null,
  archivedAt: null,
  image: null,
  cold: null,
  fallbacks: [],
  phases: [],
  bakedSha: null,
  syncedSha: null,
  setupRanInSession: null,
  staleSetup: null,
  receipt: null,
  failure: null,
  idleStopAt: null,
  snapshot: null,
  models: [],
};
const view: SessionView = { ...state, prompts: [], todos: [], diff: null };
const text = (id: string, value: string, cursor = 9): SessionEvent => ({
  type: "part",
  cursor,
  promptId,
  part: { kind: "text", id, text: value },
});
const delta = (partId: string, value: string, cursor = 9): SessionEvent => ({
  type: "delta",
  cursor,
  promptId,
  partId,
  kind: "text",
  delta: value,
});
const play = (...events: SessionEvent[]) => events.reduce<SessionView>(applySessionEvent, view).prompts;

it("a part keeps the place where it began, grows by deltas and is replaced when it comes whole", () => {
  const [prompt] = play(
    { type: "prompt", cursor: 1, prompt: head() },
    delta("a", "I lo"),
    text("b", "second"),
    delta("a", "ok"),
    text("a", "I look."),
  );
  expect(prompt?.parts).toEqual([
    { kind: "text", id: "a", text: "I look." },
    { kind: "text", id: "b", text: "second" },
  ]);
});

it("a text without characters takes its part back, and a changed prompt keeps its parts", () => {
  const [prompt] = play({ type: "prompt", cursor: 1, prompt: head() }, delta("a", "half"), text("b", "whole"), text("a", ""), {
    type: "prompt",
    cursor: 5,
    prompt: head({ status: "done", finishedAt: 5 }),
  });
  expect(prompt).toEqual({ ...head({ status: "done", finishedAt: 5 }), parts: [{ kind: "text", id: "b", text: "whole" }] });
});

it("the session's state leaves its conversation alone; parts of an unknown prompt change nothing", () => {
  const known = applySessionEvent(view, { type: "prompt", cursor: 1, prompt: head() });
  const next = applySessionEvent(known, { type: "session", cursor: 2, session: { ...state, title: "b" } });
  expect(next).toEqual({ ...known, title: "b" });
  expect(applySessionEvent(view, delta("a", "x"))).toBe(view);
  expect(applySessionEvent(null, delta("a", "x"))).toBeNull();
});

it("what is older than the cursor is left out, a delta is never applied twice, a snapshot replaces everything", () => {
  const start = followSession(emptyReplica, {
    type: "snapshot",
    cursor: 4,
    session: { ...view, prompts: [{ ...head(), parts: [] }] },
  });
  const grown = [delta("a", "x", 5), delta("a", "x", 5), delta("a", "y", 4)].reduce(followSession, start);
  expect(grown.view?.prompts[0]?.parts).toEqual([{ kind: "text", id: "a", text: "x" }]);
  expect(grown.cursor).toBe(5);
  expect(followSession(grown, text("a", "xy", 5)).view?.prompts[0]?.parts, "repeated whole").toEqual([
    { kind: "text", id: "a", text: "xy" },
  ]);
  const fresh = followSession(grown, { type: "snapshot", cursor: 2, session: view });
  expect(fresh).toEqual({ view, cursor: 2 });
});
