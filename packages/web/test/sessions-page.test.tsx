/** The sessions list, the shell around it, and addresses that lead nowhere. */
import { act, screen, waitFor, within } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { ok, openDashboard } from "./dashboard.tsx";
import { sessionId, summary } from "./fixtures.ts";

const titles = () =>
  within(screen.getByRole("list", { name: "Sessions" }))
    .getAllByRole("link")
    .map((link) => /Session \d+/.exec(link.textContent ?? "")?.[0]);

it("a row says status, repository, branch, what it started from and how long that took", async () => {
  openDashboard("/", { "GET /api/sessions": ok({ sessions: [summary(3)], next: null }) });
  const link = await screen.findByRole("link", { name: /Session 3/ });
  for (const part of ["Ready", "acme/web · main", "1.6 s", "from image", "3 min ago"]) expect(link.textContent).toContain(part);
  expect(link.getAttribute("href")).toBe(`/sessions/${sessionId(3)}`);
});

it("the feed adds a new session at the top and changes a known one in place", async () => {
  const { sockets } = openDashboard("/", { "GET /api/sessions": ok({ sessions: [summary(2), summary(3)], next: null }) });
  await screen.findByRole("link", { name: /Session 3/ });
  const feed = sockets.of("/api/feed");
  feed.send({ type: "session", session: summary(1, { status: "syncing", startMs: null }) });
  feed.send({ type: "session", session: summary(3, { status: "stopped" }) });
  await waitFor(() => expect(titles()).toEqual(["Session 1", "Session 2", "Session 3"]));
  expect(screen.getByRole("link", { name: /Session 3/ }).textContent).toContain("Stopped");
});

it("without sessions it leads to Settings > Images and to New session", async () => {
  openDashboard("/", {});
  expect((await screen.findByRole("link", { name: "Settings > Images" })).getAttribute("href")).toBe("/settings/images");
  expect(screen.getByRole("link", { name: "start a new session" }).getAttribute("href")).toBe("/sessions/new");
});

it("loading is said", async () => {
  openDashboard("/", { "GET /api/sessions": () => new Promise(() => {}) });
  expect(await screen.findByRole("status", { name: "Loading sessions" })).toBeTruthy();
});

it("each page has its title, and the first link skips the navigation", async () => {
  const { user, router } = openDashboard("/", {});
  await waitFor(() => expect(document.title).toBe("Sessions · Open-Inspect"));
  await user.tab();
  expect(document.activeElement?.textContent).toBe("Skip to content");
  await router.navigate({ to: "/settings/images" });
  await waitFor(() => expect(document.title).toBe("Images · Open-Inspect"));
  await waitFor(() => expect(document.activeElement?.id).toBe("content"));
});

it("a theme is applied and remembered", async () => {
  const { user } = openDashboard("/", {});
  await user.click((await screen.findAllByRole("button", { name: "Dark theme" }))[0] ?? document.body);
  expect(document.documentElement.dataset.theme).toBe("dark");
  expect(localStorage.getItem("open-inspect.theme")).toBe("dark");
  await user.click(screen.getAllByRole("button", { name: "System theme" })[0] ?? document.body);
  expect(document.documentElement.dataset.theme).toBe("light");
});

it("an unknown address says so and leads back", async () => {
  openDashboard("/nowhere", {});
  expect(await screen.findByText("There is no page at this address")).toBeTruthy();
  expect(screen.getByRole("link", { name: "Go to Sessions" })).toBeTruthy();
});

it("a page that breaks says so, leaves the navigation standing, and can be tried again", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const { user, queryClient } = openDashboard("/", {});
  await screen.findByText("No session yet");
  act(() => void queryClient.setQueryData(["sessions"], { sessions: null }));
  expect(await screen.findByRole("heading", { level: 1, name: "This page broke" })).toBeTruthy();
  expect(screen.getAllByRole("link", { name: "Images" }).length).toBeGreaterThan(0);
  queryClient.setQueryData(["sessions"], { sessions: [], next: null });
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText("No session yet")).toBeTruthy();
  vi.restoreAllMocks();
});
