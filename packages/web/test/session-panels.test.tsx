/** Beside the conversation: changes, to-dos, notices, and the way to a pull request. */
import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { ok, openSession, refuse } from "./dashboard.tsx";
import { diff, session, sessionId, summary } from "./fixtures.ts";

const path = `/sessions/${sessionId(1)}`;
const hunks = "@@ -3,3 +3,4 @@ function total() {\n const a = 1;\n-const b = 2;\n+const b = 3;\n+const c = 4;\n }\n";
const changed = diff({
  files: [
    { path: "src/a.ts", change: "modified", additions: 2, deletions: 1, hunks },
    { path: "logo.png", from: "old.png", change: "renamed", additions: 0, deletions: 0, hunks: null },
    {
      ...{ path: "lock.yaml", change: "modified", additions: 900, deletions: 0 },
      hunks: `@@ -0,0 +1,900 @@\n${"+line\n".repeat(900)}`,
    },
  ],
  additions: 902,
  deletions: 1,
});
const file = (name: string) => screen.findByRole("region", { name });

it("each changed file is listed with its lines, numbered on both sides", async () => {
  await openSession(session({ diff: changed }));
  const list = await screen.findByRole("list", { name: "Changed files" });
  expect(
    within(list)
      .getAllByRole("button")
      .map((row) => row.textContent),
  ).toEqual(["Mmodifiedsrc/a.ts+2 −1", "Rrenamedlogo.png", "Mmodifiedlock.yaml+900"]);
  const lines = [...(await file("src/a.ts")).querySelectorAll("[data-line]")].map((line) =>
    [...line.children].map((cell) => cell.textContent).join("|"),
  );
  expect(lines).toEqual(["3|3| |const a = 1;", "4||−|const b = 2;", "|4|+|const b = 3;", "|5|+|const c = 4;", "5|6| |}"]);
});

it("a long file is folded, opens to its beginning, and shows the rest when asked", async () => {
  const { user } = await openSession(session({ diff: changed }));
  const long = await file("lock.yaml");
  expect(long.querySelectorAll("[data-line]")).toHaveLength(0);
  await user.click(within(long).getByRole("button", { expanded: false }));
  expect(long.querySelectorAll("[data-line]")).toHaveLength(600);
  await user.click(within(long).getByRole("button", { name: "Show 300 more lines" }));
  expect(long.querySelectorAll("[data-line]")).toHaveLength(900);
});

it("what was left out of the diff is said", async () => {
  await openSession(session({ diff: { ...changed, isCut: true } }));
  expect((await screen.findByRole("note")).textContent).toContain("Too much has changed to show all of it");
});

it("the diff and the to-do list follow the agent, each change replacing the last", async () => {
  const { socket, user } = await openSession(session());
  socket.send({ type: "diff", cursor: 2, diff: changed });
  expect(await file("src/a.ts")).toBeTruthy();
  socket.send({ type: "diff", cursor: 3, diff: diff() });
  await waitFor(() => expect(screen.queryByRole("region", { name: "src/a.ts" })).toBeNull());
  socket.send({
    type: "todos",
    cursor: 4,
    todos: [
      { content: "One", status: "completed" },
      { content: "Two", status: "in_progress" },
    ],
  });
  await user.click(await screen.findByRole("tab", { name: "To-do 1/2" }));
  expect((await screen.findAllByRole("listitem")).map((item) => item.textContent)).toEqual(
    expect.arrayContaining(["done: One", "in progress: Two"]),
  );
});

it("setup that is out of date is said, and its refresh is run from there", async () => {
  const { user, count, socket } = await openSession(
    session({ staleSetup: { files: ["package-lock.json"], refresh: "offered" } }),
    {
      [`POST /api${path}/refresh`]: ok(session()),
    },
  );
  const note = await screen.findByRole("note");
  expect(note.textContent).toContain("package-lock.json has changed since the image was made");
  await user.click(within(note).getByRole("button", { name: "Run setup" }));
  expect(count("POST", `/api${path}/refresh`)).toBe(1);
  socket.send({
    type: "snapshot",
    cursor: 3,
    session: session({ staleSetup: { files: ["package-lock.json"], refresh: "done" } }),
  });
  await waitFor(() => expect(screen.queryByRole("note")).toBeNull());
});

it("a start that had to do with less names each source and why", async () => {
  await openSession(session({ fallbacks: [{ from: "snapshot", reason: "it has expired." }] }));
  expect((await screen.findByRole("note")).textContent).toBe("Not started from the session's own snapshot: it has expired.");
});

it("a pull request is asked for with its words, and a refusal is said where they were written", async () => {
  const { user, asked } = await openSession(session({ diff: changed, title: "Fix the cart" }), {
    [`POST /api${path}/pull-request`]: refuse(409, "nothing_to_push", "Nothing has changed.", "Ask the agent first."),
  });
  await user.click(await screen.findByRole("button", { name: "Create pull request" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByRole("textbox", { name: "Description" }), "By cents.");
  await user.click(within(dialog).getByRole("checkbox", { name: "As a draft" }));
  await user.click(within(dialog).getByRole("button", { name: "Create" }));
  expect((await within(dialog).findByRole("alert")).textContent).toContain("Nothing has changed.");
  expect(asked.find(({ method }) => method === "POST")?.body).toEqual({ title: "Fix the cart", body: "By cents.", draft: true });
});

it("an open pull request is linked with its state, and brought up to date", async () => {
  const pullRequest = { number: 482, url: "https://github.test/482", state: "open", branch: "fix", title: "Fix" } as const;
  const { user, asked } = await openSession(session({ diff: changed, pullRequest }), {
    [`POST /api${path}/pull-request`]: ok(session()),
  });
  expect((await screen.findByRole("link", { name: "#482 open" })).getAttribute("href")).toBe("https://github.test/482");
  await user.click(screen.getByRole("button", { name: "Push changes" }));
  await user.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Push" }));
  await waitFor(() => expect(asked.find(({ method }) => method === "POST")?.body).toEqual({}));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
});

it("a session without changes offers no pull request", async () => {
  await openSession(session());
  await screen.findByRole("button", { name: "Stop session" });
  expect(screen.queryByRole("button", { name: "Create pull request" })).toBeNull();
});

it("a pull request that is under way says how far, and one that came to nothing says why", async () => {
  const under = session({ diff: changed, pullRequestProgress: { at: "pushing", branch: "fix" } });
  const { socket } = await openSession(under);
  expect((await screen.findByRole<HTMLButtonElement>("button", { name: "Pushing…" })).disabled).toBe(true);
  const failed = { at: "failed", message: "GitHub refused the push.", hint: "Ask for write access." } as const;
  socket.send({ type: "snapshot", cursor: 2, session: { ...under, pullRequestProgress: failed } });
  expect((await screen.findByRole("alert")).textContent).toContain("GitHub refused the push.");
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Create pull request" }).disabled).toBe(false);
});

it("sessions that its agent began are listed with how it started", async () => {
  const child = summary(2, { parentId: sessionId(1), title: "Docs" });
  await openSession(session(), { [`GET /api/sessions?parent=${sessionId(1)}`]: ok({ sessions: [child], next: null }) });
  const list = await screen.findByRole("list", { name: "Sessions that it began" });
  expect(within(list).getByRole("link", { name: /Docs/ }).getAttribute("href")).toBe(`/sessions/${sessionId(2)}`);
});
