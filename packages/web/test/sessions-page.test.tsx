/** The sessions list, the shell around it, and addresses that lead nowhere. */
import { act, screen, waitFor, within } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { ok, openDashboard } from "./dashboard.tsx";
import { readyImage, repository, sessionId, summary } from "./fixtures.ts";

const titles = () =>
  within(screen.getByRole("list", { name: "Sessions" }))
    .getAllByRole("link")
    .map((link) => /Session \d+/.exec(link.textContent ?? "")?.[0]);

it("a row says status, repository, branch, what it started from and how long that took", async () => {
  openDashboard("/", { "GET /api/sessions": ok({ sessions: [summary(3)], next: null }) });
  const link = await screen.findByRole("link", { name: /Session 3/ });
  for (const part of ["Ready", "acme/web · main", "1.6 s from image", "3 min ago"]) expect(link.textContent).toContain(part);
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
  const show = (sessions: unknown[]) =>
    queryClient.setQueryData(["sessions", {}], { pages: [{ sessions, next: null }], pageParams: [null] });
  // Far outside of what a date can be: drawing its age throws.
  act(() => void show([summary(1, { createdAt: 9e15 })]));
  expect(await screen.findByRole("heading", { level: 1, name: "This page broke" })).toBeTruthy();
  expect(screen.getAllByRole("link", { name: "Images" }).length).toBeGreaterThan(0);
  show([]);
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText("No session yet")).toBeTruthy();
  vi.restoreAllMocks();
});

it("a row says who began it, what it cost, its pull request, and that another session began it", async () => {
  const usage = {
    ...{ inputTokens: 1_000, outputTokens: 500, reasoningTokens: 0, cacheReadTokens: 40_000, cacheWriteTokens: 0 },
    costUsd: 0.126,
  };
  const pullRequest = { number: 7, url: "https://github.test/7", state: "merged", branch: "fix", title: "Fix" } as const;
  const author = { name: "Ada Lovelace", email: null, login: "ada" };
  const told = summary(3, { usage, pullRequest, author, promptCount: 2, parentId: sessionId(1), isWorking: true });
  told.activeAt = told.createdAt + 6 * 60_000;
  openDashboard("/", { "GET /api/sessions": ok({ sessions: [told], next: null }) });
  const link = await screen.findByRole("link", { name: /Session 3/ });
  for (const part of ["AL", "2 prompts", "$0.13 · 42k tokens", "#7 merged", "Working", "active just now"])
    expect(link.textContent).toContain(part);
  expect(within(link).getByRole("img", { name: "Begun by another session" })).toBeTruthy();
});

it("filters are asked of the server, kept in the address, and taken from it", async () => {
  const { user, router, asked } = openDashboard("/?status=stopped", {
    "GET /api/repositories": ok({ repositories: [repository("web", readyImage())] }),
    "GET /api/sessions": ok({ sessions: [summary(1, { author: { name: "Ada", email: null, login: null } })], next: null }),
  });
  await screen.findByRole("link", { name: /Session 1/ });
  await user.type(screen.getByRole("searchbox", { name: "Search sessions" }), "cart");
  await waitFor(() => expect(router.state.location.search).toEqual({ status: "stopped", q: "cart" }));
  await user.selectOptions(screen.getByRole("combobox", { name: "Filter by repository" }), "acme/web");
  await user.selectOptions(screen.getByRole("combobox", { name: "Filter by author" }), "Ada");
  await user.click(screen.getByRole("checkbox", { name: "Archived" }));
  const lastAsked = () => asked.findLast(({ path }) => path.startsWith("/api/sessions?"))?.path.split("?")[1];
  await waitFor(() =>
    expect(Object.fromEntries(new URLSearchParams(lastAsked()))).toEqual({
      ...{ q: "cart", repository: "acme/web", status: "stopped", author: "Ada", archived: "true" },
    }),
  );
  await user.click(screen.getByRole("button", { name: "Clear" }));
  await waitFor(() => expect(router.state.location.search).toEqual({}));
});

it("nothing that fits the filters is told apart from no session at all", async () => {
  openDashboard("/?q=nothing", {});
  expect(await screen.findByText("No session is like that")).toBeTruthy();
  expect(screen.queryByText("No session yet")).toBeNull();
});

it("older sessions come page by page", async () => {
  const next = `1.${sessionId(1)}`;
  const { user } = openDashboard("/", {
    "GET /api/sessions": ok({ sessions: [summary(1)], next }),
    [`GET /api/sessions?${new URLSearchParams({ before: next })}`]: ok({ sessions: [summary(2)], next: null }),
  });
  await user.click(await screen.findByRole("button", { name: "Load more" }));
  await waitFor(() => expect(titles()).toEqual(["Session 1", "Session 2"]));
  expect(screen.queryByRole("button", { name: "Load more" })).toBeNull();
});

it("the feed adds only what fits the filters, and takes out what no longer does", async () => {
  const { sockets } = openDashboard("/?status=ready", {
    "GET /api/sessions": ok({ sessions: [summary(2), summary(3)], next: null }),
  });
  await screen.findByRole("link", { name: /Session 3/ });
  const feed = sockets.of("/api/feed");
  feed.send({ type: "session", session: summary(1, { status: "failed" }) });
  feed.send({ type: "session", session: summary(3, { archivedAt: 1 }) });
  await waitFor(() => expect(titles()).toEqual(["Session 2"]));
});

it("keys: / searches, j and k walk the list", async () => {
  const { user } = openDashboard("/", { "GET /api/sessions": ok({ sessions: [summary(1), summary(2)], next: null }) });
  await screen.findByRole("link", { name: /Session 2/ });
  await user.keyboard("jj");
  expect(document.activeElement?.textContent).toContain("Session 2");
  await user.keyboard("k/");
  expect(document.activeElement).toBe(screen.getByRole("searchbox", { name: "Search sessions" }));
});
