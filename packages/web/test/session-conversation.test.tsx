/** The conversation: what was asked, the answer as it streams, the queue, and the box that the next prompt is written in. */
import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { ok, openSession, refuse } from "./dashboard.tsx";
import { phase, prompt, promptId, session, sessionId, text, tool } from "./fixtures.ts";

const path = `/sessions/${sessionId(1)}`;
const prompts = `/api${path}/prompts`;
const answer = () => screen.getByRole("region", { name: /^Answer to / });
const box = () => screen.findByRole<HTMLTextAreaElement>("textbox", { name: "Prompt" });
const running = prompt(1, { status: "running", finishedAt: null });
const announced = () => document.querySelector("[data-announcements]")?.textContent ?? "";
const bodies = (asked: { method: string; body: unknown }[]) =>
  asked.filter(({ method }) => method === "POST").map(({ body }) => body);

it("an answer grows by deltas, and what it says can never become HTML", async () => {
  const { socket } = await openSession(session({ prompts: [{ ...running, parts: [text("a", "Look at ")] }] }));
  await screen.findByText("Look at");
  const delta = { type: "delta", promptId: promptId(1), kind: "text" };
  socket.send({ ...delta, cursor: 2, partId: "a", delta: "`cart.ts` <img src=x onerror=alert(1)> [x](javascript:alert(1))" });
  expect((await within(answer()).findByText("cart.ts")).tagName).toBe("CODE");
  expect(answer().textContent).toContain("<img src=x onerror=alert(1)>");
  expect(answer().querySelector("img, a")).toBeNull();
});

it("code is plain at first and takes colour, its text the same", async () => {
  await openSession(session({ prompts: [prompt(1, { parts: [text("a", "```ts\nconst a = 1;\n```")] })] }));
  const code = await waitFor(() => answer().querySelector("pre") ?? expect.fail("no code"));
  expect(code.textContent).toBe("const a = 1;");
  await waitFor(() => expect(code.querySelector(".hljs-keyword")?.textContent).toBe("const"), { timeout: 5_000 });
  expect(code.textContent).toBe("const a = 1;");
});

it("tables, nested lists and tasks are drawn", async () => {
  const source = "| a | b |\n| - | - |\n| 1 | 2 |\n\n- one\n  - two\n\n- [x] done";
  await openSession(session({ prompts: [prompt(1, { parts: [text("a", source)] })] }));
  expect(await screen.findByRole("table")).toBeTruthy();
  expect(answer().querySelector("ul ul li")?.textContent).toBe("two");
  expect(within(answer()).getByRole<HTMLInputElement>("checkbox").checked).toBe(true);
});

it("the end of an answer is said, its words are not", async () => {
  const { socket } = await openSession(session({ prompts: [{ ...running, parts: [text("a", "Half")] }] }));
  socket.send({ type: "delta", cursor: 2, promptId: promptId(1), partId: "a", kind: "text", delta: " and whole" });
  await screen.findByText("Half and whole");
  expect(announced()).toBe("");
  const { parts: _parts, ...head } = prompt(1);
  socket.send({ type: "prompt", cursor: 3, prompt: head });
  await waitFor(() => expect(announced()).toBe("Answer done: Half and whole"));
});

it("a tool call says what was done in one line, and opens to its output", async () => {
  const parts = [
    tool("1", "bash", "npm test", { output: "\u001b[32m42 passed\u001b[39m" }),
    tool("2", "edit", { filePath: "/workspace/repo/src/a.ts", oldString: "one\ntwo", newString: "one\n2\n3" }),
    tool("3", "write", { filePath: "/workspace/repo/new.ts", content: "x\n" }, { status: "error", output: "blocked" }),
  ];
  const { user } = await openSession(session({ prompts: [prompt(1, { parts })] }));
  const lines = () => [...answer().querySelectorAll("summary")].map((line) => line.textContent);
  await waitFor(() => expect(lines()).toEqual(["Rannpm test", "Editedsrc/a.ts+2 −1", "Wrotenew.tsfailed"]));
  expect(screen.queryByText("42 passed")).toBeNull();
  await user.click(screen.getByText("npm test"));
  expect((await screen.findByText("42 passed")).className).toBe("ansi-32");
  await user.click(screen.getByText("src/a.ts"));
  const change = await screen.findByRole("region", { name: "Change of src/a.ts" });
  expect([...change.querySelectorAll("[data-line]")].map((line) => line.getAttribute("data-line"))).toEqual([
    ...["same", "removed", "added", "added"],
  ]);
});

it("looking around is folded into one line that opens to each look", async () => {
  const look = (id: string, file: string) => tool(id, "read", { filePath: `/workspace/repo/${file}` });
  const parts = [look("1", "a.ts"), look("2", "b.ts"), tool("3", "grep", { pattern: "x" }), text("4", "Found.")];
  const { user } = await openSession(session({ prompts: [prompt(1, { parts })] }));
  await user.click(await screen.findByText("Read 2 files, searched 1 time"));
  expect(await screen.findByText("b.ts")).toBeTruthy();
});

it("a failed prompt says why, a stopped one that it was", async () => {
  await openSession(
    session({ prompts: [prompt(1, { status: "failed", error: "The model refused." }), prompt(2, { status: "stopped" })] }),
  );
  expect((await screen.findByRole("alert")).textContent).toContain("The model refused.");
  expect(document.querySelector(`[data-prompt="${promptId(2)}"]`)?.textContent).toContain("Stopped");
});

it("Enter sends what was written, at once on the page and once to the server; Shift+Enter begins a line", async () => {
  const { user, asked, socket } = await openSession(session(), { [`POST ${prompts}`]: { status: 201, body: prompt(1) } });
  await user.type(await box(), "Fix it{Shift>}{Enter}{/Shift}please");
  expect(bodies(asked)).toEqual([]);
  await user.keyboard("{Enter}");
  const row = await waitFor(() => document.querySelector("[data-prompt]") ?? expect.fail("not shown"));
  expect(row.textContent).toContain("Fix it\nplease");
  expect((await box()).value).toBe("");
  const id = row.getAttribute("data-prompt") ?? "";
  expect(bodies(asked)).toEqual([{ id, text: "Fix it\nplease" }]);
  const { parts: _parts, ...head } = prompt(1, { id, text: "Fix it\nplease", status: "queued" });
  socket.send({ type: "prompt", cursor: 2, prompt: head });
  expect(document.querySelectorAll("[data-prompt]")).toHaveLength(1);
});

it("two prompts written quickly arrive in the order in which they were written", async () => {
  let first = () => {};
  const { user, asked } = await openSession(session(), {
    [`POST ${prompts}`]: async ({ body }) => {
      if (JSON.stringify(body).includes("one")) await new Promise<void>((resolve) => (first = resolve));
      return { status: 201, body: prompt(1) };
    },
  });
  await user.type(await box(), "one{Enter}two{Enter}");
  expect(bodies(asked)).toHaveLength(1);
  first();
  await waitFor(() => expect(bodies(asked)).toMatchObject([{ text: "one" }, { text: "two" }]));
});

it("a refused prompt is kept with the reason, and tried again under the same id or taken back into the box", async () => {
  const { user, asked } = await openSession(session(), {
    [`POST ${prompts}`]: refuse(409, "prompt_queue_full", "50 prompts wait already.", "Wait for an answer."),
  });
  await user.type(await box(), "Once more{Enter}");
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("50 prompts wait already.");
  await user.click(within(alert).getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(bodies(asked)).toHaveLength(2));
  expect(bodies(asked)[0]).toEqual(bodies(asked)[1]);
  await user.click(within(await screen.findByRole("alert")).getByRole("button", { name: "Edit" }));
  expect((await box()).value).toBe("Once more");
  expect(document.querySelector("[data-refused]")).toBeNull();
});

it("what is written while the agent works waits in the queue, where it is changed and taken back", async () => {
  const waiting = prompt(2, { status: "queued", text: "Then the docs" });
  const { user, asked } = await openSession(session({ prompts: [running, waiting] }), {
    [`PATCH ${prompts}/${promptId(2)}`]: ok(waiting),
    [`DELETE ${prompts}/${promptId(2)}`]: ok(waiting),
  });
  const queue = await screen.findByRole("list", { name: "Prompt queue" });
  expect(within(screen.getByRole("list", { name: "Conversation" })).queryByText("Then the docs")).toBeNull();
  await user.click(within(queue).getByRole("button", { name: "Edit this prompt" }));
  await user.type(within(queue).getByRole("textbox"), " too{Enter}");
  await waitFor(() => expect(asked.find(({ method }) => method === "PATCH")?.body).toEqual({ text: "Then the docs too" }));
  await user.click(await within(queue).findByRole("button", { name: "Take this prompt back" }));
  await waitFor(() => expect(asked.some(({ method }) => method === "DELETE")).toBe(true));
});

it("Escape stops the answer when nothing is written, and not otherwise", async () => {
  const stop = `${prompts}/${promptId(1)}/stop`;
  const { user, count } = await openSession(session({ prompts: [running] }), { [`POST ${stop}`]: ok(running) });
  await user.type(await box(), "half a thought{Escape}");
  expect(count("POST", stop)).toBe(0);
  await user.clear(await box());
  await user.keyboard("{Escape}");
  await waitFor(() => expect(count("POST", stop)).toBe(1));
});

it("files that are dropped or pasted go along; what cannot is refused in words", async () => {
  const { user, asked } = await openSession(session(), { [`POST ${prompts}`]: { status: 201, body: prompt(1) } });
  const field = await box();
  const file = (name: string, type: string, content: BlobPart) => new File([content], name, { type });
  const large = file("film.png", "image/png", new Uint8Array(3 * 1024 * 1024 + 1));
  const files = [
    file("a.ts", "video/mp2t", "const a = 1;"),
    file("x.zip", "application/zip", new Uint8Array([80, 75, 0, 255])),
    large,
  ];
  fireEvent.paste(field, { clipboardData: { files } });
  const list = await screen.findByRole("list", { name: "Attachments" });
  expect(list.textContent).toContain("a.ts");
  expect(screen.getByText("x.zip is neither text nor a PNG, JPEG, GIF or WebP image.")).toBeTruthy();
  expect(screen.getByText(/film.png is too large: 3.1 MB of at most 3.1 MB/)).toBeTruthy();
  await user.type(field, "See this{Enter}");
  await waitFor(() =>
    expect(bodies(asked)).toMatchObject([{ attachments: [{ name: "a.ts", mime: "text/plain", data: btoa("const a = 1;") }] }]),
  );
});

it("the model that was asked last is asked again, until another one is picked", async () => {
  const { user, asked } = await openSession(session({ models: ["a", "b", "c"], prompts: [prompt(1, { model: "b" })] }), {
    [`POST ${prompts}`]: { status: 201, body: prompt(2) },
  });
  expect((await screen.findByRole<HTMLSelectElement>("combobox", { name: "Model" })).value).toBe("b");
  await user.selectOptions(screen.getByRole("combobox", { name: "Model" }), "c");
  await user.type(await box(), "Go{Enter}");
  await waitFor(() => expect(bodies(asked)).toMatchObject([{ model: "c" }]));
});

it("what is being written survives leaving the page", async () => {
  const first = await openSession(session());
  await first.user.type(await box(), "Unfinished");
  await first.router.navigate({ to: "/" });
  await screen.findByRole("heading", { name: "Sessions" });
  await first.router.navigate({ to: "/sessions/$id", params: { id: sessionId(1) } });
  expect((await box()).value).toBe("Unfinished");
});

it("a prompt that waits for the start shows how far the start is", async () => {
  const starting = {
    status: "syncing",
    receipt: null,
    phases: [phase("sandbox", Date.now(), 310), phase("sync", Date.now(), null)],
  } as const;
  await openSession(session({ ...starting, phases: [...starting.phases], prompts: [prompt(1, { status: "queued" })] }));
  const line = await screen.findByRole("status", { name: "Start of the session" });
  expect(line.textContent).toContain("Starting from the image");
  expect(line.textContent).toContain("Create sandbox 310 ms");
});

it.each([
  [
    { status: "stopped", snapshot: { takenAt: Date.now() - 60_000, expiresAt: Date.now() + 1e6 } },
    "Stopped. It resumes with the next prompt, from its snapshot of 1 min ago.",
  ],
  [{ status: "stopped", snapshot: null }, "Stopped. It resumes with the next prompt, from the branch's head."],
  [{ status: "ready", idleStopAt: Date.now() + 8 * 60_000 }, "Idle: it is saved and stopped in 8 min."],
] as const)("what will become of the sandbox is said under the box: %#", async (over, sentence) => {
  await openSession(session(over));
  await waitFor(() => expect(document.querySelector("[data-condition]")?.textContent).toBe(sentence));
});

it("keys: / writes, ? lists them all, and nothing happens while somebody writes", async () => {
  const { user } = await openSession(session({ prompts: [prompt(1), prompt(2)] }));
  const field = await box();
  await user.keyboard("/");
  await waitFor(() => expect(document.activeElement).toBe(field));
  await user.type(field, "?");
  expect(screen.queryByRole("dialog")).toBeNull();
  field.blur();
  await user.keyboard("?");
  const dialog = await screen.findByRole("dialog", { name: "Keys" });
  for (const label of ["Write a prompt", "Next prompt", "Go to Sessions", "Send a prompt"]) within(dialog).getByText(label);
  await user.keyboard("{Escape}");
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  await user.keyboard("j");
  expect(document.activeElement?.getAttribute("data-prompt")).not.toBeNull();
});

it("g s goes to the sessions", async () => {
  const { user, router } = await openSession(session());
  await box();
  await user.keyboard("gs");
  await waitFor(() => expect(router.state.location.pathname).toBe("/"));
});

it("on a phone one view is shown at a time, and the conversation keeps what was written in it", async () => {
  document.documentElement.dataset.narrow = "";
  const { user } = await openSession(session({ todos: [{ content: "Test it", status: "pending" }] }));
  await user.type(await box(), "Half");
  await user.click(screen.getByRole("tab", { name: /To-do/ }));
  expect(await screen.findByText("Test it")).toBeTruthy();
  expect(screen.queryByRole("textbox", { name: "Prompt" })).toBeNull();
  await user.click(screen.getByRole("tab", { name: "Chat" }));
  expect((await box()).value).toBe("Half");
});

it("of a long conversation the newest prompts are drawn, and earlier ones when they are asked for", async () => {
  const all = Array.from({ length: 90 }, (_, index) => prompt(index + 1));
  const { user } = await openSession(session({ prompts: all }));
  expect(await screen.findByText("Prompt 90")).toBeTruthy();
  expect(document.querySelectorAll("[data-prompt]")).toHaveLength(40);
  await user.click(screen.getByRole("button", { name: "Show 40 earlier prompts of 50" }));
  expect(screen.getByText("Prompt 11")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Show 10 earlier prompts of 10" }));
  expect(screen.getByText("Prompt 1")).toBeTruthy();
});

it("an answer's headings lie below the page's title, its code and its tasks are named for who does not see them", async () => {
  const source = "### Top\n\n#### Below\n\n- [x] one\n- [ ] two\n\n```ts\nx\n```";
  await openSession(session({ prompts: [prompt(1, { parts: [text("a", source)] })] }));
  expect((await screen.findByRole("heading", { name: "Top" })).tagName).toBe("H2");
  expect(screen.getByRole("heading", { name: "Below" }).tagName).toBe("H3");
  expect(screen.getByRole("checkbox", { name: "Done" })).toBeTruthy();
  expect(screen.getByRole("checkbox", { name: "To do" })).toBeTruthy();
});
