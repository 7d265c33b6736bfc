/** What conversations bring that is out of the ordinary: long, from right to left, dropped, never asked, without a word. */
import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { ok, openSession } from "./dashboard.tsx";
import { prompt, session, setupFailure, text } from "./fixtures.ts";

it("a list has room for its widest number", async () => {
  const items = Array.from({ length: 120 }, (_, index) => `${index + 1}. Step`).join("\n");
  await openSession(
    session({ prompts: [prompt(1, { parts: [text("t", items)] }), prompt(2, { parts: [text("t", "1. One\n2. Two")] })] }),
  );
  await screen.findAllByText("Step");
  const [long, short] = [...document.querySelectorAll<HTMLElement>("ol[start]")].map(({ style }) => style.paddingInlineStart);
  expect(long).toBe("4.5ch");
  expect(short).toBe("2.5ch");
});

it("text from right to left begins at the right, whoever wrote it", async () => {
  const parts = [text("t", "שלום `code`\n\n- אחד\n\n> ציטוט")];
  await openSession(session({ prompts: [prompt(1, { text: "שלום עולם", parts })] }));
  const asked = await screen.findByText("שלום עולם", { selector: "li p" });
  expect(asked.getAttribute("dir")).toBe("auto");
  const answer = screen.getByRole("region", { name: /^Answer to/ });
  for (const name of ["p", "ul", "blockquote"]) expect(answer.querySelector(name)?.getAttribute("dir")).toBe("auto");
  expect(screen.getByRole("textbox", { name: "Prompt" }).getAttribute("dir")).toBe("auto");
});

it("a file that is dropped beside the box goes along, and never replaces the page", async () => {
  await openSession(session());
  const box = await screen.findByRole("textbox", { name: "Prompt" });
  const dataTransfer = { types: ["Files"], files: [new File(["a"], "a.txt", { type: "text/plain" })] };
  const header = screen.getByRole("heading", { level: 1 });
  // `false`: the browser is kept from opening the file.
  expect(fireEvent.dragOver(header, { dataTransfer })).toBe(false);
  expect(fireEvent.drop(header, { dataTransfer })).toBe(false);
  await screen.findByRole("button", { name: "Remove a.txt" });
  expect(fireEvent.drop(box, { dataTransfer: { types: ["text/plain"], files: [] } })).toBe(true);
});

it("of an answer with very many blocks only those near the screen are laid out; a usual one stays plain", async () => {
  const parts = (count: number) => [text("t", "A paragraph.\n\n".repeat(count))];
  await openSession(session({ prompts: [prompt(1, { parts: parts(200) }), prompt(2, { parts: parts(3) })] }));
  const [long, short] = await screen.findAllByRole("region", { name: /^Answer to/ });
  expect(long?.querySelectorAll(".answer-block > p")).toHaveLength(200);
  expect(short?.querySelectorAll("p")).toHaveLength(3);
  expect(short?.querySelector(".answer-block")).toBeNull();
});

it("a prompt that a failed start kept from the agent is not called taken back, and can be asked again", async () => {
  const unasked = prompt(1, {
    text: "Fix the cart",
    status: "cancelled",
    error: "setup.sh exited with code 1.",
    startedAt: null,
  });
  const view = session({ status: "failed", prompts: [unasked], failure: setupFailure });
  const { user, asked } = await openSession(view, { [`POST /api/sessions/${view.id}/prompts`]: ok(prompt(2)) });
  await screen.findByText("Fix the cart", { selector: "li p" });
  const row = document.querySelector(`[data-prompt="${unasked.id}"]`);
  expect(row?.textContent).toContain("Not asked: setup.sh exited with code 1.");
  expect(row?.textContent).not.toContain("Taken back");
  await user.click(screen.getByRole("button", { name: "Ask again" }));
  await waitFor(() => expect(asked.find(({ method }) => method === "POST")?.body).toMatchObject({ text: "Fix the cart" }));
});

it("the focus stays where somebody works when what had it goes", async () => {
  const waiting = prompt(2, { status: "queued", text: "Then test it", startedAt: null, finishedAt: null });
  const view = session({ prompts: [prompt(1, { status: "running", finishedAt: null }), waiting] });
  const address = `/api/sessions/${view.id}/prompts/${waiting.id}`;
  const { user, asked } = await openSession(view, { [`PATCH ${address}`]: ok(waiting), [`DELETE ${address}`]: ok(waiting) });
  const focused = () => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id;
  await user.click(await screen.findByRole("button", { name: "Edit this prompt" }));
  await user.keyboard("{Escape}");
  await waitFor(() => expect(focused()).toBe("Edit this prompt"));
  await user.click(screen.getByRole("button", { name: "Edit this prompt" }));
  await user.keyboard(" twice{Enter}");
  await waitFor(() => expect(asked.find(({ method }) => method === "PATCH")?.body).toEqual({ text: "Then test it twice" }));
  await waitFor(() => expect(focused()).toBe("Edit this prompt"));
  await user.click(screen.getByRole("button", { name: "Rename" }));
  await user.keyboard("{Escape}");
  await waitFor(() => expect(focused()).toBe("Rename"));
  await user.click(screen.getByRole("button", { name: "Take this prompt back" }));
  await waitFor(() => expect(focused()).toBe("content"));
});

it("an answer without a word says that it has ended", async () => {
  await openSession(session({ prompts: [prompt(1)] }));
  expect(await screen.findByText("The agent ended without an answer.")).toBeTruthy();
});

it("a long word after its indentation breaks where the line ends, and numbers take the room that they need", async () => {
  const hunks = `@@ -1,2 +1,3 @@\n a\n+    expect(store.getState().cart.quantities).toEqual({});\n+    short words wrap between them as text does\n`;
  const files = [{ path: "a.md", change: "modified" as const, additions: 2, deletions: 0, hunks }];
  const { user } = await openSession(
    session({ diff: { base: "a".repeat(40), files, additions: 2, deletions: 0, isCut: false } }),
  );
  await user.click(await screen.findByRole("tab", { name: /^Changes/ }));
  const rows = [...document.querySelectorAll<HTMLElement>("[data-line=added]")];
  expect(rows.map((row) => row.lastElementChild?.classList.contains("break-all"))).toEqual([true, false]);
  expect(rows[0]?.style.gridTemplateColumns).toBe("calc(1ch + 1rem) calc(1ch + 1rem) 1.25rem minmax(0, 1fr)");
});
