/** The build page: state, cause, and a live log that stays usable when it is long. */
import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { ok, openDashboard } from "./dashboard.tsx";
import { build, buildId, logEntry, runningBuild, setupFailure } from "./fixtures.ts";

const path = `/builds/${buildId(1)}`;
const openBuild = (view: unknown) => openDashboard(path, { [`GET /api${path}`]: ok(view) });
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

it("a failed build shows its cause and lines at once", async () => {
  openBuild(build({ status: "failed", failure: setupFailure }));
  expect(await screen.findByText(/ended with exit code 2/)).toBeTruthy();
  expect(screen.getByRole("region", { name: "Last lines of output" }).textContent).toContain("missing script: build");
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
