/** The build page: state, cause, and a live log that stays usable when it is long. */
import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { ok, openDashboard, type Routes, refuse } from "./dashboard.tsx";
import {
  build,
  buildId,
  buildingImage,
  check,
  logEntry,
  phase,
  repository,
  runningBuild,
  setupFailure,
  sha,
} from "./fixtures.ts";

const path = `/builds/${buildId(1)}`;
const openBuild = (view: unknown, routes: Routes = {}) => openDashboard(path, { [`GET /api${path}`]: ok(view), ...routes });
const log = () => screen.findByRole("region", { name: "Build log" });

it("says what began it, what it does now, and follows its log live", async () => {
  const { sockets } = openBuild(runningBuild());
  await screen.findByRole("heading", { level: 1, name: "Build of acme/web" });
  expect(document.querySelector("main header")?.textContent).toContain("Push");
  expect(document.querySelector("main header")?.textContent).toContain("running setup.sh");
  const socket = sockets.of(`/api${path}/events`);
  socket.send({ type: "log", entries: [logEntry(1, "\u001b[32madded\u001b[0m 412 packages\n")] });
  await waitFor(async () => expect((await log()).textContent).toContain("added 412 packages"));
  socket.send({ type: "build", build: build() });
  await waitFor(() => expect(document.querySelector("main header [data-status]")?.textContent).toBe("Ready"));
});

it("a gap in the log is marked as one", async () => {
  const { sockets } = openBuild(runningBuild());
  await log();
  sockets.of(`/api${path}/events`).send({ type: "log", entries: [logEntry(1, "9 MB of output left out", { stream: "gap" })] });
  await waitFor(async () => expect((await log()).querySelector('[data-stream="gap"]')?.textContent).toContain("9 MB"));
});

it("a long log keeps a bounded page and brings back earlier lines on request", async () => {
  const { user, sockets } = openBuild(runningBuild());
  await log();
  const entries = Array.from({ length: 5_000 }, (_, index) => logEntry(index + 1, `line ${index + 1}\n`));
  sockets.of(`/api${path}/events`).send({ type: "log", entries });
  await screen.findByText("5,000 lines");
  const drawn = async () => (await log()).querySelectorAll("[data-stream]").length;
  expect(await drawn()).toBe(2_000);
  await user.click(screen.getByRole("button", { name: /earlier lines/ }));
  expect(await drawn()).toBe(4_000);
});

it("what is being read stays while the log grows, once following has ended", async () => {
  const { user, sockets } = openBuild(runningBuild());
  await log();
  const lines = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => logEntry(from + index, `line ${from + index}\n`));
  const socket = sockets.of(`/api${path}/events`);
  socket.send({ type: "log", entries: lines(1, 2_100) });
  await screen.findByText("2,100 lines");
  await user.click(screen.getByRole("checkbox", { name: "Follow" }));
  socket.send({ type: "log", entries: lines(2_101, 900) });
  await screen.findByText("3,000 lines");
  const drawn = async () => (await log()).querySelectorAll("[data-stream]").length;
  expect(await drawn()).toBe(3_000);
  await user.click(screen.getByRole("checkbox", { name: "Follow" }));
  expect(await drawn()).toBe(2_000);
});

it("a failed build shows its cause and lines at once", async () => {
  openBuild(build({ status: "failed", failure: setupFailure }));
  expect(await screen.findByText(/ended with exit code 2/)).toBeTruthy();
  expect(screen.getByRole("region", { name: "Last lines of output" }).textContent).toContain("missing script: build");
});

it("a build that waits for another says so and leads to it", async () => {
  const waiting = runningBuild({ id: buildId(2), status: "queued", phase: null, phases: [], startedAt: null });
  const at = `/builds/${buildId(2)}`;
  const { sockets } = openDashboard(at, {
    [`GET /api${at}`]: ok(waiting),
    "GET /api/repositories": ok({ repositories: [repository("web", buildingImage())] }),
  });
  const link = await screen.findByRole("link", { name: "the build that runs now" });
  expect(link.getAttribute("href")).toBe(`/builds/${buildId(1)}`);
  const next = repository("web", { ...buildingImage(), latestBuild: waiting });
  sockets.of("/api/feed").send({ type: "repository", repository: next });
  await screen.findByText("No phase has begun yet.");
});

it("a build that is not there leads back to the list", async () => {
  openDashboard(path, { [`GET /api${path}`]: refuse(404, "build_not_found", "There is no such build.", "Go to the list.") });
  await screen.findByRole("heading", { name: "There is no build at this address" });
  expect(screen.getByRole("link", { name: "Go to Settings > Images" })).toBeTruthy();
});

it.each([
  ["names the program", { message: ".openinspect/setup.sh exited with code 1." }, ".openinspect/setup.sh exited with code 1."],
  ["leaves it out", { message: "The sandbox died.", exitCode: null }, "The sandbox died. While running setup.sh."],
  [
    "leaves the exit code out",
    { code: "clone_failed", message: "Cloning failed.", phase: "clone", exitCode: 128 },
    "Cloning failed. Exit code 128.",
  ],
] as const)("a failure whose sentence %s is told once", async (_case, over, told) => {
  openBuild(build({ status: "failed", failure: { ...setupFailure, exitCode: 1, ...over } }));
  await waitFor(() => expect(document.querySelector("[data-failure] p")?.textContent).toBe(told));
});

it("the phase that failed does not repeat the sentence above it", async () => {
  const message = ".openinspect/setup.sh exited with code 1.";
  const phases = [{ phase: "setup", startedAt: 0, durationMs: 31, outcome: "failed", detail: message }] as const;
  openBuild(build({ status: "failed", failure: { ...setupFailure, message }, phases: [...phases] }));
  expect(await screen.findAllByText(message)).toHaveLength(1);
});

it("a finished build's closed socket is the end, not a cut", async () => {
  const { sockets } = openBuild(build());
  await log();
  const socket = sockets.of(`/api${path}/events`);
  socket.open();
  socket.send({ type: "log", entries: [logEntry(1, "done\n")] });
  socket.cut();
  expect(sockets.all.filter((each) => each.path.includes("/builds/"))).toHaveLength(1);
  expect(screen.queryByText("Reconnecting…")).toBeNull();
});

it("says who began it, what it brings in, and why it was built so", async () => {
  const asked = { trigger: "refresh", requestedBy: "ada", fromSha: sha("01d5678") } as const;
  openBuild(build({ ...asked, mode: "full", modeReason: "setup_changed", tryNumber: 2, sizeBytes: 380_000_000 }));
  await log();
  const header = document.querySelector("main header")?.textContent ?? "";
  expect(header).toContain("Rebuild by hand by ada");
  expect(header).toContain("01d5678 →  to abc1234");
  expect(header).toContain("try 2");
  expect(header).toContain("380 MB");
  expect(header).toContain("full build, because setup.sh has changed");
  expect(screen.getByRole("link", { name: "All builds of acme/web" }).getAttribute("href")).toBe("/repositories/acme/web");
});

it("a check that built nothing says why", async () => {
  openBuild(check(1, 4));
  expect(await screen.findByText("Nothing was built: no new commit, 4 times in a row.")).toBeTruthy();
});

it("can be cancelled while it runs", async () => {
  const { user } = openBuild(runningBuild(), { [`POST /api${path}/cancel`]: ok({ build: build({ status: "cancelled" }) }) });
  await user.click(await screen.findByRole("button", { name: "Cancel build" }));
  await waitFor(() => expect(document.querySelector("main header [data-status]")?.textContent).toBe("Cancelled"));
  expect(screen.queryByRole("button", { name: "Cancel build" })).toBeNull();
});

it("heads each phase's lines with its name and duration, and what is said of an earlier one stays in its place", async () => {
  const at = 1_700_000_000_000;
  const phases = [phase("clone", at, 1_900), { ...phase("setup", at + 2_000, 34_000), outcome: "failed" as const }];
  const { sockets } = openBuild(build({ phases }));
  await log();
  sockets.of(`/api${path}/events`).send({
    type: "log",
    entries: [
      logEntry(1, "Cloning\n", { phase: "clone", stream: "system" }),
      logEntry(2_100, "npm ci\n"),
      logEntry(2_200, "The build ended.\n", { phase: "clone", stream: "system" }),
      logEntry(2_300, "late output\n"),
    ],
  });
  await screen.findByText("late output");
  const headings = within(await log()).getAllByRole("heading");
  expect(headings.map((heading) => heading.textContent)).toEqual(["Clone1.9 s", "Setup scriptfailed after 34.0 s"]);
});

it("is searched: counts, steps through matches, and brings back the lines that a match is in", async () => {
  const { user, sockets } = openBuild(runningBuild());
  await log();
  const entries = Array.from({ length: 3_000 }, (_, index) =>
    logEntry(index + 1, index % 1_000 === 7 ? `\u001b[31mwarn\u001b[0ming ${index}\n` : `line ${index}\n`),
  );
  sockets.of(`/api${path}/events`).send({ type: "log", entries });
  await screen.findByText("3,000 lines");
  const box = screen.getByRole("searchbox", { name: "Search the log" });
  await user.type(box, "WARNing");
  const status = await screen.findByText("3 matches");
  await user.keyboard("{Enter}");
  await waitFor(() => expect(status.textContent).toBe("1 of 3"));
  const current = () => [...document.querySelectorAll('[data-mark="current"]')];
  expect(
    current()
      .map((mark) => mark.textContent)
      .join(""),
  ).toBe("warning");
  expect(current()[0]?.closest("[data-stream]")?.textContent).toContain("warning 7");
  await user.keyboard("{Shift>}{Enter}{/Shift}");
  await waitFor(() => expect(status.textContent).toBe("3 of 3"));
  await user.click(screen.getByRole("button", { name: "Next match" }));
  await waitFor(() => expect(status.textContent).toBe("1 of 3"));
  expect(screen.getByRole<HTMLInputElement>("checkbox", { name: "Follow" }).checked).toBe(false);
  await user.keyboard("{Escape}");
  box.focus();
  await user.keyboard("{Escape}");
  await waitFor(() => expect(document.querySelectorAll("mark")).toHaveLength(0));
});

it("is downloaded as the server's text", async () => {
  openBuild(build());
  const link = await screen.findByRole("link", { name: "Download the log" });
  expect(link.getAttribute("href")).toBe(`/api${path}/logs.txt`);
  expect(link.hasAttribute("download")).toBe(true);
});
