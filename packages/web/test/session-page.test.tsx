/** The session page's frame: boot, receipt, cold reason, failure, stopping, keeping up with the socket. */
import { screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { ok, openDashboard, openSession, refuse } from "./dashboard.tsx";
import { logEntry, phase, prompt, promptId, receipt, session, sessionId, setupFailure, text } from "./fixtures.ts";

const path = `/sessions/${sessionId(1)}`;
const events = `/api${path}/events`;
const startCard = async () => (await screen.findByRole("region", { name: "Start" })).textContent ?? "";
const answer = () => screen.getByRole("region", { name: /^Answer to / }).textContent;
const status = () => document.querySelector("main header [data-status]")?.textContent;

it("the receipt says what this start took beside a measured cold start", async () => {
  await openSession(session());
  expect(await startCard()).toContain("Started in 1.6 s · a cold start of this repository takes 38.2 s · 23.9× faster");
});

it("a cold start known from a build alone is called an estimate", async () => {
  await openSession(session({ receipt: receipt({ cold: { ms: 38_200, source: "build", measuredAt: 0 } }) }));
  expect(await startCard()).toContain("about 38.2 s, estimated from the last build");
});

it("without a cold start to compare with, nothing is claimed", async () => {
  await openSession(session({ receipt: receipt({ cold: null }) }));
  const text = await startCard();
  expect(text).toContain("Started in 1.6 s · no cold start measured yet");
  expect(text).not.toContain("faster");
});

it("a start that was not faster is not called faster", async () => {
  await openSession(session({ receipt: receipt({ startMs: 40_000 }) }));
  expect(await startCard()).toContain("no faster than a cold start");
});

it("a repository that starts in a moment anyway is not blamed for it", async () => {
  await openSession(session({ receipt: receipt({ startMs: 1_300, cold: { ms: 1_200, source: "measured", measuredAt: 0 } }) }));
  const text = await startCard();
  expect(text).toContain("a cold start of this repository takes 1.2 s · too quick for an image to make it much faster");
  expect(text).not.toContain("no faster");
});

it("a hint that names Settings > Images leads there", async () => {
  const hint = "Switch them on under Settings > Images.";
  await openSession(session({ image: null, cold: { code: "images_disabled", message: "Images are switched off.", hint } }));
  expect((await screen.findByRole("link", { name: "Settings > Images" })).getAttribute("href")).toBe("/settings/images");
  expect(await startCard()).toContain(hint);
});

it("a cold session says why, what to do, and what an image would have saved", async () => {
  await openSession(
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
  await openSession(session());
  const text = await startCard();
  expect(text).toContain("abc1234");
  expect(text).toContain("def5678");
  expect(text).toContain("Setup was not re-run: it ran when the image was built");
});

it("an agent that waits for setup says so while it waits", async () => {
  const at = Date.now() - 5_000;
  const starting = { status: "syncing", receipt: null, readyAt: null } as const;
  const agent = phase("agent", at, null);
  const { sockets } = await openSession(session({ ...starting, phases: [phase("setup", at, null), agent] }));
  await screen.findByText("waits for setup");
  const over = session({ ...starting, phases: [phase("setup", at, 4_000), agent] });
  sockets.of(events).send({ type: "snapshot", cursor: 0, session: over });
  await waitFor(() => expect(screen.queryByText("waits for setup")).toBeNull());
});

it("boot phases appear as they happen, and the running one ticks", async () => {
  const at = Date.now() - 5_000;
  const starting = { status: "syncing", receipt: null, readyAt: null } as const;
  const { sockets } = await openSession(session({ ...starting, phases: [phase("sandbox", at, 310)] }));
  await screen.findByText("Create sandbox");
  sockets.of(events).send({
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
  const { sockets } = await openSession(session({ status: "syncing", receipt: null, readyAt: null }));
  await startCard();
  expect(status()).toBe("Starting");
  sockets.of(events).send({ type: "snapshot", cursor: 0, session: session() });
  await waitFor(() => expect(status()).toBe("Ready"));
  expect(document.querySelector("[data-announcements]")?.textContent).toContain("Session ready. Started in 1.6 s");
});

it("a failure shows its cause, hint and lines at once", async () => {
  await openSession(session({ status: "failed", failure: setupFailure, receipt: null }));
  expect(await screen.findByText(/ended with exit code 2/)).toBeTruthy();
  expect(screen.getByRole("region", { name: "Last lines of output" }).textContent).toContain("setup.sh: line 7: exited with 2");
});

it("a reload takes one message: all of it comes by the socket, and nothing is read beside it", async () => {
  const { asked } = await openSession(session({ prompts: [prompt(1, { parts: [text("a", "All of it.")] })] }));
  expect(await screen.findByText("All of it.")).toBeTruthy();
  expect(asked.some((each) => each.path.startsWith("/api/sessions/"))).toBe(false);
});

it("after a cut the socket asks for what came since, of the events and of the log, and shows it once", async () => {
  const { socket, sockets } = await openSession(
    session({ prompts: [prompt(1, { status: "running", parts: [text("a", "one")] })] }),
  );
  expect(socket.path).toBe(`${events}?together=1`);
  const delta = { type: "delta", promptId: promptId(1), partId: "a", kind: "text" };
  socket.send({ type: "log", entries: [logEntry(7, "seven\n")] });
  socket.send({ ...delta, cursor: 5, delta: " two" });
  socket.cut();
  const second = await waitFor(() => sockets.of(events), { timeout: 2_000 });
  expect(second.path).toBe(`${events}?together=1&since=5&after=7`);
  second.open();
  second.send({ ...delta, cursor: 5, delta: " two" });
  second.send({ ...delta, cursor: 6, delta: " three" });
  await waitFor(() => expect(answer()).toContain("three"));
  expect(answer()).toContain("one two three");
});

it("a whole view that follows deltas is not grown by them a second time", async () => {
  const one = session({ prompts: [prompt(1, { status: "running", parts: [text("a", "one")] })] });
  const { socket } = await openSession(one);
  socket.send({ type: "delta", cursor: 2, promptId: promptId(1), kind: "text", partId: "a", delta: " two" });
  socket.send({
    type: "snapshot",
    cursor: 3,
    session: { ...one, prompts: [prompt(1, { status: "running", parts: [text("a", "one two")] })] },
  });
  await screen.findByText("one two");
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(answer()).toContain("one two");
  expect(answer()).not.toContain("two two");
});

it("where no socket gets through, the session is read now and then", async () => {
  const { sockets, count } = openDashboard(path, { [`GET /api${path}`]: ok(session({ title: "By REST" })) });
  (await waitFor(() => sockets.of(events))).cut();
  expect(await screen.findByRole("heading", { name: "By REST" })).toBeTruthy();
  expect(count("GET", `/api${path}`)).toBe(1);
});

it("an answer by REST that the socket has overtaken is dropped", async () => {
  let answerNow = (_: unknown) => {};
  const late = new Promise((resolve) => {
    answerNow = resolve;
  });
  const { sockets } = openDashboard(path, {
    [`GET /api${path}`]: async () => {
      await late;
      return ok(session({ title: "Old" }));
    },
  });
  (await waitFor(() => sockets.of(events))).cut();
  const socket = await waitFor(() => sockets.of(events), { timeout: 2_000 });
  socket.open();
  socket.send({ type: "snapshot", cursor: 4, session: session({ title: "New" }) });
  await screen.findByRole("heading", { name: "New" });
  answerNow(null);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(screen.getByRole("heading", { name: "New" })).toBeTruthy();
});

it("Stop session asks for it once, and is off when the session has ended", async () => {
  const { user, count, socket } = await openSession(session(), { [`POST /api${path}/stop`]: ok(session()) });
  await user.click(await screen.findByRole("button", { name: "Stop session" }));
  socket.send({ type: "snapshot", cursor: 2, session: session({ status: "stopped", endedAt: Date.now() }) });
  await waitFor(() => expect(status()).toBe("Stopped"));
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Stop session" }).disabled).toBe(true);
  expect(count("POST", `/api${path}/stop`)).toBe(1);
});

it("a title is changed in place, and comes back when that is refused", async () => {
  const { user, asked } = await openSession(session({ title: "Old name" }), {
    [`PATCH /api${path}`]: refuse(409, "conflict", "Somebody else has renamed it.", "Try again."),
  });
  await user.click(await screen.findByRole("button", { name: "Rename" }));
  await user.clear(screen.getByRole("textbox", { name: "Title" }));
  await user.type(screen.getByRole("textbox", { name: "Title" }), "New name{Enter}");
  expect(asked.find((each) => each.method === "PATCH")?.body).toEqual({ title: "New name" });
  await screen.findByRole("heading", { name: "Old name" });
  expect(document.querySelector("[data-announcements]")?.textContent).toContain("Renaming failed: Somebody else has renamed it.");
});

it("an archived session can be read and restored, and not written to", async () => {
  const { user, count } = await openSession(session({ archivedAt: 1, status: "stopped" }), {
    [`POST /api${path}/restore`]: ok(session()),
  });
  expect((await screen.findByRole<HTMLTextAreaElement>("textbox", { name: "Prompt" })).disabled).toBe(true);
  await user.click(screen.getByRole("button", { name: "Restore it" }));
  expect(count("POST", `/api${path}/restore`)).toBe(1);
});

it("everybody who watches is shown", async () => {
  const { socket } = await openSession(session());
  const person = (name: string) => ({ name, email: null, login: null });
  socket.send({ type: "presence", people: [person("Ada Lovelace"), person("Grace Hopper")] });
  expect(await screen.findByRole("img", { name: "Watching: Ada Lovelace, Grace Hopper" })).toBeTruthy();
});

it("what boot and scripts print is a log of its own, and a replay is not shown twice", async () => {
  const { user, socket } = await openSession(session());
  socket.send({ type: "log", entries: [logEntry(1, "one\n"), logEntry(2, "two\n")] });
  socket.send({ type: "log", entries: [logEntry(2, "two\n"), logEntry(3, "three\n")] });
  await user.click(await screen.findByRole("tab", { name: "Output" }));
  const log = await screen.findByRole("region", { name: "Session output" });
  await waitFor(() => expect(log.textContent).toContain("three"));
  expect(log.textContent?.split("two")).toHaveLength(2);
});

it("a session that is not there leads on, and does not offer to try again", async () => {
  const { sockets } = openDashboard(path, {
    [`GET /api${path}`]: refuse(404, "session_not_found", "There is no such session.", "Go to the list."),
  });
  (await waitFor(() => sockets.of(events))).cut();
  await screen.findByRole("heading", { name: "There is no session at this address" });
  expect(screen.getByRole("link", { name: "Go to Sessions" }).getAttribute("href")).toBe("/");
  expect(screen.queryByRole("button", { name: "Try again" })).toBeNull();
});

it("while setup runs in the session, the page says so and shows the newest line that it printed", async () => {
  const at = Date.now() - 5_000;
  const { sockets } = await openSession(
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
  sockets.of(events).send({ type: "log", entries: [logEntry(1, "Installing\n"), logEntry(2, "Building\n")] });
  await waitFor(() => expect(document.querySelector("[data-newest-line]")?.textContent).toBe("Building"));
});

it("a page that breaks says so, and the way to the others stays", async () => {
  const silent = vi.spyOn(console, "error").mockImplementation(() => {});
  // Far outside of what a date can be: drawing its age throws.
  await openSession(session({ createdAt: 9e15 }));
  await screen.findByRole("heading", { name: "This page broke" });
  expect(screen.getByRole("alert").textContent).toContain("Reload the page");
  expect(screen.getByRole("link", { name: "Images" })).toBeTruthy();
  expect(document.title).toBe("Error · Open-Inspect");
  silent.mockRestore();
});
