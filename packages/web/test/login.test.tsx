/** The way in and the way out: the account menu, the login page, what a 401 and a refused socket lead to, in whose name things are done. */
import { screen, waitFor, within } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { readReturn } from "../src/lib/login.ts";
import { ok, openDashboard, openSession, refuse } from "./dashboard.tsx";
import { diff, me, prompt, session, sessionId, summary } from "./fixtures.ts";

const nobody = me({ person: null, via: null, canLogIn: true });
const mona = me({ person: { name: "Mona Lisa", email: null, login: "mona" }, via: "github", canLogIn: true });
const unauthorized = refuse(401, "unauthorized", "Nobody is logged in.", "Log in.");
const account = async (name: string) => {
  const [button] = await screen.findAllByRole("button", { name: `Account: ${name}` });
  if (button === undefined) throw new Error("no account menu");
  return button;
};

it("who is logged in is named, and logs out by keyboard; nothing of them stays in the browser", async () => {
  localStorage.setItem("open-inspect.draft.new", "what I was writing");
  localStorage.setItem("open-inspect.repository", "acme/secret");
  const { user, asked, router, queryClient, sockets } = openDashboard("/", {
    "GET /api/me": ok(mona),
    "GET /api/sessions": ok({ sessions: [summary(1)], next: null }),
    "POST /api/auth/logout": ok({ loggedOut: true }),
  });
  await screen.findByText("Session 1");
  const feed = sockets.of("/api/feed");
  const button = await account("Mona Lisa");
  button.focus();
  await user.keyboard("{Enter}");
  expect(button.getAttribute("aria-expanded")).toBe("true");
  expect(screen.getAllByText("mona at GitHub")).not.toHaveLength(0);
  await user.tab();
  expect(document.activeElement?.textContent).toBe("Log out");
  await user.keyboard("{Enter}");
  await screen.findByRole("heading", { name: "Log in to Open-Inspect" });
  expect(asked.some(({ method, path }) => method === "POST" && path === "/api/auth/logout")).toBe(true);
  expect(router.state.location.pathname).toBe("/login");
  expect(queryClient.getQueryCache().findAll({ queryKey: ["sessions"] })).toHaveLength(0);
  await waitFor(() => expect(Object.keys(localStorage)).toEqual([]));
  expect(feed.isClosed()).toBe(true);
});

it("a logout that fails says so and forgets nothing", async () => {
  localStorage.setItem("open-inspect.draft.new", "what I was writing");
  const { user, router } = openDashboard("/", {
    "GET /api/me": ok(mona),
    "POST /api/auth/logout": refuse(503, "internal", "The database does not answer.", "Try again."),
  });
  await user.click(await account("Mona Lisa"));
  await user.click(screen.getAllByRole("button", { name: "Log out" })[0] as HTMLElement);
  await screen.findByText("The database does not answer.");
  expect(router.state.location.pathname).toBe("/");
  expect(localStorage.getItem("open-inspect.draft.new")).toBe("what I was writing");
});

it("Escape folds the menu and gives the focus back to its button", async () => {
  const { user } = openDashboard("/", { "GET /api/me": ok(mona) });
  const button = await account("Mona Lisa");
  await user.click(button);
  await user.tab();
  await user.keyboard("{Escape}");
  expect(button.getAttribute("aria-expanded")).toBe("false");
  expect(document.activeElement).toBe(button);
});

it("Escape folds the menu without stopping the answer, wherever the focus is", async () => {
  const running = prompt(1, { status: "running", finishedAt: null });
  const { user, count } = await openSession(session({ isWorking: true, prompts: [running] }), { "GET /api/me": ok(mona) });
  const button = await account("Mona Lisa");
  await user.click(button);
  button.blur();
  await user.keyboard("{Escape}");
  expect(button.getAttribute("aria-expanded")).toBe("false");
  expect(count("POST", `/api/sessions/${sessionId(1)}/prompts/${running.id}/stop`)).toBe(0);
});

it("whoever is on this machine may log in with GitHub and comes back to where they were", async () => {
  const { user } = openDashboard("/settings/images?status=failed", { "GET /api/me": ok(me({ canLogIn: true })) });
  await user.click(await account("Octavia Developer"));
  const [link] = screen.getAllByRole("link", { name: "Log in with GitHub" });
  expect(link?.getAttribute("href")).toBe("/api/auth/github?return=%2Fsettings%2Fimages%3Fstatus%3Dfailed");
});

it("a server that knows nothing of logins has no account menu", async () => {
  const { count } = openDashboard("/", { "GET /api/me": refuse(404, "not_found", "There is nothing here.", "") });
  await screen.findByRole("navigation");
  await waitFor(() => expect(count("GET", "/api/me")).toBe(1));
  expect(screen.queryByRole("button", { name: /^Account/ })).toBeNull();
});

it("an answer for those who are logged in leads to the login, and from there back", async () => {
  const { router } = openDashboard("/settings/images?status=failed", {
    "GET /api/me": ok(nobody),
    "GET /api/repositories": unauthorized,
  });
  const link = await screen.findByRole("link", { name: "Log in with GitHub" });
  expect(router.state.location.pathname).toBe("/login");
  expect(link.getAttribute("href")).toBe("/api/auth/github?return=%2Fsettings%2Fimages%3Fstatus%3Dfailed");
  expect(screen.queryByRole("navigation")).toBeNull();
});

it("a change that is refused for want of a login leads there as well", async () => {
  const { user, router } = await openSession(session(), {
    [`POST /api/sessions/${sessionId(1)}/stop`]: unauthorized,
  });
  await user.click(await screen.findByRole("button", { name: "Stop session" }));
  await waitFor(() => expect(router.state.location.href).toBe(`/login?return=%2Fsessions%2F${sessionId(1)}`));
});

it("a socket that is refused for want of a login leads there and is not tried again", async () => {
  let who = mona;
  const { sockets, router } = openDashboard("/", { "GET /api/me": () => ok(who) });
  const feed = await waitFor(() => sockets.of("/api/feed"));
  feed.open();
  who = nobody;
  feed.cut();
  const again = await waitFor(() => sockets.of("/api/feed"));
  again.cut();
  await screen.findByRole("link", { name: "Log in with GitHub" });
  expect(router.state.location.pathname).toBe("/login");
  const tried = sockets.all.length;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect(sockets.all).toHaveLength(tried);
});

it("a socket that cannot be opened while somebody is logged in is tried again on the same page", async () => {
  const { sockets, router, count } = openDashboard("/", { "GET /api/me": ok(mona) });
  (await waitFor(() => sockets.of("/api/feed"))).cut();
  await waitFor(() => expect(count("GET", "/api/me")).toBe(2));
  await waitFor(() => sockets.of("/api/feed"));
  expect(router.state.location.pathname).toBe("/");
});

it.each([
  ["denied", "You did not allow it at GitHub", "allow it when GitHub asks"],
  ["expired", "took too long", "Log in again"],
  ["not_allowed", "has no access to this installation", "log out at GitHub first"],
  ["github_unavailable", "GitHub did not answer", "Try again"],
])("a login that ended with %s says why and what to do", async (error, why, what) => {
  openDashboard(`/login?error=${error}&return=%2Fsettings%2Fimages`, { "GET /api/me": ok(nobody) });
  const { textContent } = await screen.findByRole("alert");
  expect(textContent).toContain(why);
  expect(textContent).toContain(what);
  expect(screen.getByRole("link", { name: "Log in with GitHub" }).getAttribute("href")).toBe(
    "/api/auth/github?return=%2Fsettings%2Fimages",
  );
});

it("where no login is set up, the page says who can change that", async () => {
  openDashboard("/login", { "GET /api/me": ok(me({ person: null, via: null })) });
  expect((await screen.findByRole("alert")).textContent).toContain("GITHUB_CLIENT_ID");
  expect(screen.queryByRole("link")).toBeNull();
});

it("whoever is known already goes on from the login page", async () => {
  openDashboard("/login?return=%2Fsettings%2Fimages", { "GET /api/me": ok(mona) });
  const link = await screen.findByRole("link", { name: "Continue as Mona Lisa" });
  expect(link.getAttribute("href")).toBe("/settings/images");
});

it("the way back is a path of ours and never the login itself", () => {
  for (const path of ["/", "/sessions/ses_1?x=1#y", "/loginpage"]) expect(readReturn(path)).toBe(path);
  for (const other of ["//evil.test", "/\\evil.test", "https://evil.test", "javascript:alert(1)", "/login?error=denied", "", 7]) {
    expect(readReturn(other)).toBe("/");
  }
});

it.each([
  ["somebody logged in", mona, "opened by mona, or by the app", false],
  ["whoever is on this machine", me({ canLogIn: true }), "opened by the app. Log in with GitHub to open it in your name", true],
  ["whoever cannot log in", me(), "opened by the app.", false],
])("before a pull request of %s is opened the dialog says in whose name", async (_, who, says, offers) => {
  const files = [{ path: "a.ts", change: "modified" as const, additions: 1, deletions: 0, hunks: "@@ -1 +1 @@\n+x\n" }];
  const { user } = await openSession(session({ diff: diff({ files, additions: 1 }) }), { "GET /api/me": ok(who) });
  await user.click(await screen.findByRole("button", { name: "Create pull request" }));
  const dialog = within(await screen.findByRole("dialog"));
  await dialog.findByText((__, element) => element?.tagName === "P" && element.textContent.includes(says));
  expect(dialog.queryByRole("link", { name: "Log in with GitHub" }) !== null).toBe(offers);
});

it("a pull request says in whose name it was opened, and why it is the app's although somebody is logged in", async () => {
  const pullRequest = { number: 7, url: "https://github.test/7", state: "open", branch: "fix", title: "Fix the cart" } as const;
  const view = session({ pullRequest, pullRequestBy: { login: "mona", reason: null } });
  const { socket, user } = await openSession(view, { "GET /api/me": ok(mona) });
  const line = () => document.querySelector("[data-pull-request-line]")?.textContent;
  await user.click(await screen.findByRole("tab", { name: "Changes" }));
  await waitFor(() => expect(line()).toBe("#7 Fix the cartopen, opened by mona"));
  expect(document.querySelector('[data-note="pull-request-by"]')).toBeNull();
  const reason = "GitHub does not let mona push to acme/web.";
  socket.send({ type: "snapshot", cursor: 2, session: { ...view, pullRequestBy: { login: null, reason } } });
  await waitFor(() => expect(line()).toContain("opened by the app"));
  expect(document.querySelector('[data-note="pull-request-by"]')?.textContent).toContain(reason);
});

it("a pull request of a session without a sandbox asks to resume it first", async () => {
  const files = [{ path: "a.ts", change: "modified" as const, additions: 1, deletions: 0, hunks: "@@ -1 +1 @@\n+x\n" }];
  const view = session({ status: "stopped", diff: diff({ files, additions: 1 }) });
  const { user, asked, socket } = await openSession(view, { [`POST /api/sessions/${view.id}/resume`]: ok(view) });
  await user.click(await screen.findByRole("button", { name: "Create pull request" }));
  const dialog = within(await screen.findByRole("dialog"));
  const create = dialog.getByRole<HTMLButtonElement>("button", { name: "Create" });
  expect(create.disabled).toBe(true);
  await user.click(dialog.getByRole("button", { name: "Resume the session" }));
  expect(asked.some(({ path }) => path.endsWith("/resume"))).toBe(true);
  socket.send({ type: "snapshot", cursor: 2, session: { ...view, status: "ready" } });
  await waitFor(() => expect(create.disabled).toBe(false));
});

it("what somebody has sent is theirs before the server has it", async () => {
  const view = session();
  const { user } = await openSession(view, {
    "GET /api/me": ok(mona),
    [`POST /api/sessions/${view.id}/prompts`]: () => new Promise(() => {}),
  });
  await account("Mona Lisa");
  await user.type(await screen.findByRole("textbox", { name: "Prompt" }), "Fix it{Enter}");
  await waitFor(() => expect(document.querySelector("[data-prompt]")?.textContent).toContain("Mona Lisa"));
});

it("a logout in one window ends the others: nothing of the person stays on a screen", async () => {
  const { router, queryClient, sockets } = openDashboard("/", {
    "GET /api/me": ok(mona),
    "GET /api/sessions": ok({ sessions: [summary(1)], next: null }),
  });
  await screen.findByText("Session 1");
  const feed = sockets.of("/api/feed");
  dispatchEvent(new StorageEvent("storage", { key: "open-inspect.theme", newValue: "dark" }));
  expect(router.state.location.pathname).toBe("/");
  dispatchEvent(new StorageEvent("storage", { key: "open-inspect.left", newValue: "1" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/login"));
  await waitFor(() => expect(queryClient.getQueryCache().findAll({ queryKey: ["sessions"] })).toHaveLength(0));
  expect(feed.isClosed()).toBe(true);
});

it("a server that was away when the page began is asked again who is there", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true, advanceTimeDelta: 20 });
  let isAway = true;
  openDashboard("/", { "GET /api/me": () => (isAway ? refuse(503, "internal", "Away.", "") : ok(mona)) });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(screen.queryByRole("button", { name: /^Account/ })).toBeNull();
  isAway = false;
  await vi.advanceTimersByTimeAsync(10_000);
  await account("Mona Lisa");
  vi.useRealTimers();
});
