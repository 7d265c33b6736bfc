/** The session page: boot, receipt, cold reason, failure, the streamed answer, stopping. */
import { screen, waitFor, within } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { ok, openDashboard, type Routes, refuse } from "./dashboard.tsx";
import { logEntry, phase, promptId, receipt, session, sessionId, setupFailure } from "./fixtures.ts";

const path = `/sessions/${sessionId(1)}`;
const openSession = (view: unknown, routes: Routes = {}) => openDashboard(path, { [`GET /api${path}`]: ok(view), ...routes });
const startCard = async () => (await screen.findByRole("region", { name: "Start" })).textContent ?? "";
const status = () => document.querySelector("main header [data-status]")?.textContent;

it("the receipt says what this start took beside a measured cold start", async () => {
  openSession(session());
  expect(await startCard()).toContain("Started in 1.6 s · a cold start of this repository takes 38.2 s · 23.9× faster");
});

it("a cold start known from a build alone is called an estimate", async () => {
  openSession(session({ receipt: receipt({ cold: { ms: 38_200, source: "build", measuredAt: 0 } }) }));
  expect(await startCard()).toContain("about 38.2 s, estimated from the last build");
});

it("without a cold start to compare with, nothing is claimed", async () => {
  openSession(session({ receipt: receipt({ cold: null }) }));
  const text = await startCard();
  expect(text).toContain("Started in 1.6 s · no cold start measured yet");
  expect(text).not.toContain("faster");
});

it("a start that was not faster is not called faster", async () => {
  openSession(session({ receipt: receipt({ startMs: 40_000 }) }));
  expect(await startCard()).toContain("no faster than a cold start");
});

it("a repository that starts in a moment anyway is not blamed for it", async () => {
  openSession(session({ receipt: receipt({ startMs: 1_300, cold: { ms: 1_200, source: "measured", measuredAt: 0 } }) }));
  const text = await startCard();
  expect(text).toContain("a cold start of this repository takes 1.2 s · too quick for an image to make it much faster");
  expect(text).not.toContain("no faster");
});

it("a hint that names Settings > Images leads there", async () => {
  const hint = "Switch them on under Settings > Images.";
  openSession(session({ image: null, cold: { code: "images_disabled", message: "Images are switched off.", hint } }));
  expect((await screen.findByRole("link", { name: "Settings > Images" })).getAttribute("href")).toBe("/settings/images");
  expect(await startCard()).toContain(hint);
});

it("a cold session says why, what to do, and what an image would have saved", async () => {
  openSession(
    session({
      image: null,
      bakedSha: null,
      startedFrom: "base",
      setupRanInSession: true,
      cold: { code: "images_disabled", message: "Images are switched off.", hint: "Switch them on." },
      receipt: receipt({
        startedFrom: "base",
        startMs: 38_000,
        phases: { clone: 2_000, setup: 33_000 },
        setupRanInSession: true,
      }),
    }),
  );
  const text = await startCard();
  expect(text).toContain("Images are switched off.");
  expect(text).toContain("Switch them on.");
  expect(text).toContain("an image would have saved the clone and setup: 35 s");
  expect(text).toContain("Setup ran in this session");
});

it("a session from an image shows both commits and that setup was not re-run", async () => {
  openSession(session());
  const text = await startCard();
  expect(text).toContain("abc1234");
  expect(text).toContain("def5678");
  expect(text).toContain("Setup was not re-run: it ran when the image was built");
});

it("an agent that waits for setup says so while it waits", async () => {
  const at = Date.now() - 5_000;
  const starting = { status: "syncing", receipt: null, readyAt: null } as const;
  const agent = phase("agent", at, null);
  const { sockets } = openSession(session({ ...starting, phases: [phase("setup", at, null), agent] }));
  await screen.findByText("waits for setup");
  const over = session({ ...starting, phases: [phase("setup", at, 4_000), agent] });
  sockets.of(`/api${path}/events`).send({ type: "snapshot", cursor: 0, session: over });
  await waitFor(() => expect(screen.queryByText("waits for setup")).toBeNull());
});

it("boot phases appear as they happen, and the running one ticks", async () => {
  const at = Date.now() - 5_000;
  const starting = { status: "syncing", receipt: null, readyAt: null } as const;
  const { sockets } = openSession(session({ ...starting, phases: [phase("sandbox", at, 310)] }));
  await screen.findByText("Create sandbox");
  sockets.of(`/api${path}/events`).send({
    type: "snapshot",
    cursor: 0,
    session: session({
      ...starting,
      phases: [phase("sandbox", at, 310), phase("sync", at + 310, null), phase("agent", at + 310, null)],
    }),
  });
  await screen.findByText("Git sync");
  const row = document.querySelector('[data-phase="sync"]');
  expect(row?.getAttribute("data-outcome")).toBe("running");
  expect(row?.textContent).toContain("running");
  const before = row?.textContent;
  await waitFor(() => expect(row?.textContent).not.toBe(before));
  expect(document.querySelectorAll('[data-outcome="running"]')).toHaveLength(2);
});

it("becoming ready is announced with the receipt", async () => {
  const { sockets } = openSession(session({ status: "syncing", receipt: null, readyAt: null }));
  await startCard();
  expect(status()).toBe("Starting");
  sockets.of(`/api${path}/events`).send({ type: "snapshot", cursor: 0, session: session() });
  await waitFor(() => expect(status()).toBe("Ready"));
  expect(document.querySelector("[data-announcements]")?.textContent).toContain("Session ready. Started in 1.6 s");
});

it("a failure shows its cause, hint and lines at once", async () => {
  openSession(session({ status: "failed", failure: setupFailure, receipt: null }));
  expect(await screen.findByText(/ended with exit code 2/)).toBeTruthy();
  expect(screen.getByRole("region", { name: "Last lines of output" }).textContent).toContain("setup.sh: line 7: exited with 2");
});

const prompt = (parts: unknown[]) => ({
  id: promptId(1),
  text: "Fix the cart",
  model: null,
  status: "running",
  parts,
  author: null,
  attachments: [],
  startedAt: null,
  usage: null,
  error: null,
  createdAt: Date.now(),
  finishedAt: null,
});

it("an answer grows by deltas, and what it says can never become HTML", async () => {
  const view = { ...session(), prompts: [prompt([{ kind: "text", id: "a", text: "Look at " }])] };
  const { sockets } = openSession(view);
  await screen.findByText("Look at");
  const socket = sockets.of(`/api${path}/events`);
  const delta = { type: "delta", cursor: 0, promptId: promptId(1), kind: "text" };
  socket.send({ ...delta, partId: "a", delta: "`cart.ts` <img src=x onerror=alert(1)>" });
  socket.send({ ...delta, partId: "b", delta: "```ts\nconst a = 1;" });
  const answer = screen.getByRole("region", { name: "Answer" });
  expect((await within(answer).findByText("cart.ts")).tagName).toBe("CODE");
  expect(answer.textContent).toContain("<img src=x onerror=alert(1)>");
  expect(answer.querySelector("img")).toBeNull();
  expect(within(answer).getByText("const a = 1;").tagName).toBe("PRE");
});

it("a whole view that follows deltas is not grown by them a second time", async () => {
  const view = { ...session(), prompts: [prompt([{ kind: "text", id: "a", text: "one" }])] };
  const { sockets } = openSession(view);
  await screen.findByText("one");
  const socket = sockets.of(`/api${path}/events`);
  socket.send({ type: "delta", cursor: 0, promptId: promptId(1), kind: "text", partId: "a", delta: " two" });
  socket.send({
    type: "snapshot",
    cursor: 0,
    session: { ...session(), prompts: [prompt([{ kind: "text", id: "a", text: "one two" }])] },
  });
  await screen.findByText("one two");
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(screen.getByRole("region", { name: "Answer" }).textContent).toBe("one two");
});

it("a tool call is folded and opens to its output", async () => {
  const tool = {
    kind: "tool",
    id: "t",
    tool: "bash",
    status: "completed",
    title: "npm test",
    input: "npm test",
    output: "42 passed",
  };
  const { user } = openSession({ ...session(), prompts: [prompt([tool])] });
  const summary = await screen.findByText("npm test");
  expect(screen.queryByText("42 passed")).toBeNull();
  await user.click(summary);
  expect((await screen.findByRole("region", { name: "Output of bash" })).textContent).toBe("42 passed");
});

it("the log of boot is folded with its length, and a replay is not shown twice", async () => {
  const { user, sockets } = openSession(session());
  await startCard();
  const socket = sockets.of(`/api${path}/events`);
  socket.send({ type: "log", entries: [logEntry(1, "one\n"), logEntry(2, "two\n")] });
  socket.send({ type: "log", entries: [logEntry(2, "two\n"), logEntry(3, "three\n")] });
  await user.click(await screen.findByText("Output of boot and scripts (3 lines)"));
  expect(await screen.findByText("three")).toBeTruthy();
});

it("after a cut the session's socket asks only for the log since its cursor", async () => {
  const { sockets } = openSession(session());
  await startCard();
  const first = sockets.of(`/api${path}/events`);
  first.open();
  first.send({ type: "log", entries: [logEntry(7, "seven\n")] });
  first.cut();
  const second = await waitFor(() => sockets.of(`/api${path}/events`), { timeout: 2_000 });
  expect(second.path).toBe(`/api${path}/events?after=7`);
});

it("Stop stops, and is off once the session has ended", async () => {
  const { user, count } = openSession(session(), {
    [`POST /api${path}/stop`]: ok(session({ status: "stopped", endedAt: Date.now() })),
  });
  await user.click(await screen.findByRole("button", { name: "Stop session" }));
  await waitFor(() => expect(status()).toBe("Stopped"));
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Stop session" }).disabled).toBe(true);
  expect(count("POST", `/api${path}/stop`)).toBe(1);
});

it("a session that is not there leads on, and does not offer to try again", async () => {
  openDashboard(path, { [`GET /api${path}`]: refuse(404, "session_not_found", "There is no such session.", "Go to the list.") });
  await screen.findByRole("heading", { name: "There is no session at this address" });
  expect(screen.getByRole("link", { name: "Go to Sessions" }).getAttribute("href")).toBe("/");
  expect(screen.queryByRole("button", { name: "Try again" })).toBeNull();
});

it("while setup runs in the session, the page says so and shows the newest line that it printed", async () => {
  const at = Date.now() - 5_000;
  const { sockets } = openSession(
    session({
      status: "syncing",
      image: null,
      receipt: null,
      readyAt: null,
      setupRanInSession: null,
      phases: [phase("setup", at, null)],
    }),
  );
  expect(await startCard()).toContain("Setup is running in this session");
  sockets.of(`/api${path}/events`).send({ type: "log", entries: [logEntry(1, "Installing\n"), logEntry(2, "Building\n")] });
  await waitFor(() => expect(document.querySelector("[data-newest-line]")?.textContent).toBe("Building"));
});

it("a page that breaks says so, and the way to the others stays", async () => {
  const silent = vi.spyOn(console, "error").mockImplementation(() => {});
  // Far outside of what a date can be: drawing its age throws.
  openSession(session({ createdAt: 9e15 }));
  await screen.findByRole("heading", { name: "This page broke" });
  expect(screen.getByRole("alert").textContent).toContain("Reload the page");
  expect(screen.getByRole("link", { name: "Images" })).toBeTruthy();
  expect(document.title).toBe("Error · Open-Inspect");
  silent.mockRestore();
});
