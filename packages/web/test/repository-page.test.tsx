/** A repository's page: what serves, what failed, what is kept, the history and the settings, kept true by the feed. */
import { type BuildView, type ImageState, type KeptImage } from "@open-inspect/protocol";
import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { ok, openDashboard, type Routes, refuse } from "./dashboard.tsx";
import {
  active,
  build,
  buildId,
  buildingImage,
  check,
  disabledImage,
  failedImage,
  imageId,
  insights,
  kept,
  noImage,
  readyImage,
  repository,
  runningBuild,
  session,
  setupFailure,
  sha,
  summary,
} from "./fixtures.ts";

const hourMs = 3_600_000;
const buildsPath = "/api/builds?repository=acme%2Fweb&limit=30";
const imagesPath = "/api/images?repository=acme%2Fweb";

interface Lists {
  builds?: BuildView[];
  images?: KeptImage[];
  routes?: Routes;
}

function openRepository(image: ImageState, { builds = [], images = [], routes = {} }: Lists = {}) {
  return openDashboard("/repositories/acme/web", {
    "GET /api/repositories": ok({ repositories: [repository("web", image)] }),
    [`GET ${buildsPath}`]: ok({ builds, next: null }),
    [`GET ${imagesPath}`]: ok({ images }),
    "GET /api/insights?days=30&repository=acme%2Fweb": ok(insights()),
    [`GET /api/sessions/${summary(1).id}`]: ok(session()),
    ...routes,
  });
}

const section = async (name: string) => within(await screen.findByRole("region", { name }));
const historyRows = async () => [...(await screen.findByRole("list", { name: "Builds" })).children].map((row) => row.textContent);

const inputs = {
  ...{ setup: "a".repeat(64), refresh: null, digest: "d".repeat(64), base: "im-base", runtimeVersion: "r1" },
  ...{ files: [{ path: "package-lock.json", digest: "f".repeat(64) }], omittedFiles: 3, secretsVersion: 2 },
};

describe("page", () => {
  it("shows the image that serves with its age, size, expiry and why it was built so", async () => {
    const image = active({ mode: "incremental", modeReason: "same_inputs", chainDepth: 2, sizeBytes: 1_230_000_000 });
    openRepository({ ...readyImage(), active: image });
    const text = (await screen.findByRole("region", { name: "Active image" })).textContent;
    expect(text).toContain("abc1234");
    expect(text).toContain("3 min ago in 41 s");
    expect(text).toContain("1.2 GB");
    expect(text).toContain("(in 30 d)");
    expect(text).toContain(
      "Incremental build, because base image, runtime, setup, secrets and settings are the ones of the image before.",
    );
    expect(text).toContain("It stands on 2 snapshots since the last full build.");
    expect(document.querySelector("main header [data-status]")?.textContent).toBe("Ready");
  });

  it("opens the digest of the inputs to its parts", async () => {
    const { user } = openRepository({ ...readyImage(), active: active({ inputs }) });
    const image = await section("Active image");
    await user.click(image.getByText("d".repeat(16)));
    expect(image.getByText("package-lock.json").nextSibling?.textContent).toBe("f".repeat(64));
    expect(image.getByText("setup.sh").nextSibling?.textContent).toBe("a".repeat(64));
    expect(image.getByText("refresh.sh").nextSibling?.textContent).toBe("none");
    expect(image.getByText("version 2")).toBeTruthy();
    expect(image.getByText(/3 more files/)).toBeTruthy();
  });

  it.each([
    ["switched off", disabledImage, /Switch images on/],
    ["building the first", buildingImage(), /until the build that runs now is done/],
    ["never built with success", failedImage(null), /no build has succeeded/],
    ["without a build", noImage, /Rebuild now starts one/],
  ])("without an image, %s, it says what sessions do", async (_case, image, sentence) => {
    openRepository(image);
    expect((await section("Active image")).getByText(sentence)).toBeTruthy();
  });

  it("is reached from Settings > Images", async () => {
    openDashboard("/settings/images", { "GET /api/repositories": ok({ repositories: [repository("web", noImage)] }) });
    const link = await screen.findByRole("link", { name: /^acme\/\s?web$/ });
    expect(link.getAttribute("href")).toBe("/repositories/acme/web");
  });

  it("says when there is no such repository", async () => {
    openDashboard("/repositories/acme/nothing", { "GET /api/repositories": ok({ repositories: [repository("web", noImage)] }) });
    await screen.findByRole("heading", { name: "There is no repository at this address" });
  });

  it("a list that cannot be read says so in its place, and the rest stays", async () => {
    let works = false;
    const images = () => (works ? ok({ images: [kept(1, { state: "active" })] }) : refuse(403, "forbidden", "Not yours.", ""));
    const { user } = openRepository(readyImage(), { routes: { [`GET ${imagesPath}`]: images } });
    const list = await section("Kept images");
    expect((await list.findByRole("alert")).textContent).toContain("Not yours.");
    expect(screen.getByRole("region", { name: "Active image" })).toBeTruthy();
    works = true;
    await user.click(list.getByRole("button", { name: "Try again" }));
    await list.findByText("Active");
  });
});

describe("cancel", () => {
  it("ends the build that runs, and is not offered when none does", async () => {
    const { user, count, sockets } = openRepository(buildingImage(), {
      routes: { [`POST /api/builds/${buildId(1)}/cancel`]: ok({ build: build({ status: "cancelled" }) }) },
    });
    await user.click(await screen.findByRole("button", { name: "Cancel build" }));
    expect(count("POST", `/api/builds/${buildId(1)}/cancel`)).toBe(1);
    sockets.of("/api/feed").send({ type: "repository", repository: repository("web", readyImage()) });
    await waitFor(() => expect(screen.queryByRole("button", { name: "Cancel build" })).toBeNull());
  });

  it("is offered for the build that waits too, in its row", async () => {
    const waiting = runningBuild({ id: buildId(2), status: "queued", phase: null, requestedAt: Date.now() });
    const { user, count } = openRepository(buildingImage(), {
      builds: [waiting, runningBuild()],
      routes: { [`POST /api/builds/${buildId(2)}/cancel`]: ok({ build: { ...waiting, status: "cancelled" } }) },
    });
    const rows = within(await screen.findByRole("list", { name: "Builds" }));
    const [first] = await rows.findAllByRole("button", { name: /Cancel this build/ });
    if (first) await user.click(first);
    expect(count("POST", `/api/builds/${buildId(2)}/cancel`)).toBe(1);
    await rows.findByText("Cancelled");
  });

  it("that comes too late says so", async () => {
    const { user } = openRepository(buildingImage(), {
      routes: { [`POST /api/builds/${buildId(1)}/cancel`]: refuse(409, "build_ended", "The build is over already.", "") },
    });
    await user.click(await screen.findByRole("button", { name: "Cancel build" }));
    expect((await screen.findByRole("alert")).textContent).toContain("The build is over already.");
  });
});

describe("pin", () => {
  const pin = { imageId: imageId(1), reason: "newer ones break login", by: "ada", at: Date.now() - 5_000, until: null };
  const pinned = { ...readyImage(), pin };

  it("is said with its reason, its person and its end, and ended by Unpin", async () => {
    const until = Date.now() + 5 * hourMs;
    const { user, count } = openRepository(
      { ...pinned, pin: { ...pin, until } },
      { routes: { "DELETE /api/repositories/acme/web/image/pin": ok(readyImage()) } },
    );
    const banner = await screen.findByRole("region", { name: "Pinned image" });
    expect(banner.textContent).toContain("newer ones break login");
    expect(banner.textContent).toContain("By ada");
    expect(banner.textContent).toContain("(in 5 h)");
    await user.click(within(banner).getByRole("button", { name: "Unpin" }));
    await waitFor(() => expect(screen.queryByRole("region", { name: "Pinned image" })).toBeNull());
    expect(count("DELETE", "/api/repositories/acme/web/image/pin")).toBe(1);
  });

  it("making a kept image active asks for a reason first", async () => {
    const { user, asked } = openRepository(readyImage(), {
      images: [kept(1, { state: "active", runningSessions: 2 }), kept(2, { sha: sha("def5678") }), kept(3, { state: "retired" })],
      routes: { [`POST /api/images/${imageId(2)}/activate`]: ok(pinned) },
    });
    const list = await section("Kept images");
    expect(await list.findByText("2 running sessions")).toBeTruthy();
    expect(list.getAllByRole("button", { name: "Make active…" })).toHaveLength(1);
    await user.click(list.getByRole("button", { name: "Make active…" }));
    const dialog = within(await screen.findByRole("dialog", { name: "Make the image of def5678 active" }));
    await user.click(dialog.getByRole("button", { name: "Make active" }));
    const reason = dialog.getByRole("textbox", { name: "Reason" });
    expect(document.activeElement).toBe(reason);
    expect(reason.getAttribute("aria-invalid")).toBe("true");
    await user.type(reason, " newer ones break login ");
    await user.click(dialog.getByRole("button", { name: "Make active" }));
    await screen.findByRole("region", { name: "Pinned image" });
    expect(screen.queryByRole("dialog")).toBeNull();
    expect(asked.filter(({ method }) => method === "POST").map(({ body }) => body)).toEqual([
      { reason: "newer ones break login", until: null },
    ]);
  });

  it("a refusal stands in the dialog, Escape closes it and gives the focus back", async () => {
    const { user } = openRepository(readyImage(), {
      images: [kept(2)],
      routes: {
        [`POST /api/images/${imageId(2)}/activate`]: refuse(409, "image_unavailable", "The image is gone.", "Choose another."),
      },
    });
    const opener = await screen.findByRole("button", { name: "Make active…" });
    await user.click(opener);
    const dialog = within(await screen.findByRole("dialog"));
    await user.type(dialog.getByRole("textbox", { name: "Reason" }), "why not");
    await user.click(dialog.getByRole("button", { name: "Make active" }));
    expect((await dialog.findByRole("alert")).textContent).toContain("The image is gone.");
    await user.keyboard("{Escape}");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(document.activeElement).toBe(opener);
  });
});

describe("failing", () => {
  const failing = { count: 3, firstSha: sha("bad0001"), firstAt: Date.now() - 2 * hourMs, nextTryAt: Date.now() + hourMs };
  const failed = build({ id: buildId(4), status: "failed", failure: setupFailure, requestedAt: Date.now() - 60_000 });

  it("says the attempt, the first failing commit, the next try and the cause", async () => {
    openRepository({ ...failedImage(active()), failing });
    const banner = await screen.findByRole("region", { name: "Failing builds" });
    expect(banner.textContent).toContain("Attempt 3 failed; the first failed 2 h ago at bad0001");
    expect(banner.textContent).toContain("(in 1 h)");
    expect(banner.textContent).toContain("missing script: build");
  });

  it("while the next attempt runs, the cause of the last one stays", async () => {
    openRepository({ ...buildingImage(), failing }, { builds: [runningBuild(), failed] });
    const banner = await screen.findByRole("region", { name: "Failing builds" });
    expect(banner.textContent).toContain("Attempt 4 is under way.");
    await within(banner).findByText(/ended with exit code 2/);
    expect(within(banner).getByRole("link", { name: "Log of this build" }).getAttribute("href")).toBe(`/builds/${buildId(4)}`);
  });

  it("a pause that is over means the next check", async () => {
    openRepository({ ...failedImage(null), failing: { ...failing, nextTryAt: Date.now() - 1 } });
    const banner = await screen.findByRole("region", { name: "Failing builds" });
    expect(banner.textContent).toContain("Next try: with the next scheduled check.");
  });
});

describe("history", () => {
  it("a row says trigger, person, commits, mode with reason, phases, size and cause", async () => {
    const first = build({
      ...{ id: buildId(2), trigger: "refresh", requestedBy: "ada", fromSha: sha("abc1234"), sha: sha("def5678") },
      ...{ mode: "incremental", modeReason: "same_inputs", sizeBytes: 380_000_000, status: "failed", failure: setupFailure },
    });
    openRepository(noImage, { builds: [first] });
    const [row] = await historyRows();
    for (const part of ["Failed", "Rebuild by hand by ada", "abc1234 →  to def5678", "41 s", "380 MB"])
      expect(row).toContain(part);
    expect(row).toContain("incremental build (same inputs)");
    expect(row).toContain("By phase: Create sandbox 600 ms, Clone 1.9 s, Setup script 34 s");
    expect(row).toContain(".openinspect/setup.sh ended with exit code 2.");
    expect(screen.getByTitle("What has changed, on GitHub").getAttribute("href")).toBe(
      `https://github.test/acme/web/compare/${sha("abc1234")}...${sha("def5678")}`,
    );
    expect(screen.getByRole("link", { name: /^Build, Rebuild by hand by ada/ }).getAttribute("href")).toBe(
      `/builds/${buildId(2)}`,
    );
  });

  it("checks that built nothing are folded, and open to their reasons", async () => {
    const at = Date.now();
    const pinnedCheck = check(2, 3, { requestedAt: at - 3, skipped: { reason: "pinned", count: 3 } });
    const builds = [build({ id: buildId(4), requestedAt: at }), check(3, 9, { requestedAt: at - 2 }), pinnedCheck];
    const { user } = openRepository(noImage, { builds });
    const rows = within(await screen.findByRole("list", { name: "Builds" }));
    await user.click(rows.getByText("12 checks without a build"));
    expect(await rows.findByText("No new commit")).toBeTruthy();
    expect(rows.getByText("An image is pinned")).toBeTruthy();
    expect(rows.getByText(/9 times since/)).toBeTruthy();
  });

  it("goes on page by page from the cursor", async () => {
    const { user } = openRepository(noImage, {
      routes: {
        [`GET ${buildsPath}`]: ok({ builds: [build({ id: buildId(3), trigger: "push" })], next: "17.bld" }),
        [`GET ${buildsPath}&before=17.bld`]: ok({
          builds: [build({ id: buildId(2), trigger: "enable", requestedAt: 17 })],
          next: null,
        }),
      },
    });
    await user.click(await screen.findByRole("button", { name: "Show earlier builds" }));
    await screen.findByText("Switched on");
    expect(await historyRows()).toHaveLength(2);
    expect(screen.queryByRole("button", { name: "Show earlier builds" })).toBeNull();
  });

  it("follows the feed: the row that runs moves on, and a build that ended has the lists read again", async () => {
    let builds = [runningBuild()];
    const { sockets, count } = openRepository(buildingImage(), {
      routes: { [`GET ${buildsPath}`]: () => ok({ builds, next: null }) },
    });
    const rows = within(await screen.findByRole("list", { name: "Builds" }));
    expect(rows.getByText(/running setup.sh/)).toBeTruthy();
    const verifying = { ...buildingImage(), latestBuild: runningBuild({ status: "verifying", phase: "verify" }) };
    sockets.of("/api/feed").send({ type: "repository", repository: repository("web", verifying) });
    expect(await rows.findByText(/verifying the image/)).toBeTruthy();
    expect(count("GET", buildsPath)).toBe(1);
    builds = [build({ requestedAt: Date.now() }), check(9, 2, { requestedAt: 1 })];
    sockets.of("/api/feed").send({ type: "repository", repository: repository("web", readyImage()) });
    await rows.findByText("2 checks without change");
    expect(count("GET", imagesPath)).toBe(2);
  });

  it("without a build says when the first one begins", async () => {
    openRepository(disabledImage);
    expect(await (await section("History")).findByText(/Nothing was built yet/)).toBeTruthy();
  });
});

describe("settings", () => {
  const path = "PUT /api/repositories/acme/web/image/settings";
  const settings = { limitMinutes: 45, keptImages: 3, rebuildMode: "clean" } as const;

  it("are saved as a whole, and Save is off while nothing is changed", async () => {
    const { user, asked } = openRepository(readyImage(), { routes: { [path]: ok({ ...readyImage(), settings }) } });
    const form = within(await screen.findByRole("form", { name: "Image settings" }));
    const save = form.getByRole<HTMLButtonElement>("button", { name: "Save" });
    expect(save.disabled).toBe(true);
    await user.clear(form.getByRole("spinbutton", { name: "Limit of a build, minutes" }));
    await user.type(form.getByRole("spinbutton", { name: "Limit of a build, minutes" }), "45");
    await user.selectOptions(form.getByRole("combobox", { name: "Rebuild mode" }), "clean");
    await user.click(save);
    await form.findByText("Saved.");
    expect(asked.find(({ method }) => method === "PUT")?.body).toEqual(settings);
  });

  it("what cannot be is said at its field and not sent", async () => {
    const { user, count } = openRepository(readyImage());
    const form = within(await screen.findByRole("form", { name: "Image settings" }));
    const field = form.getByRole("spinbutton", { name: "Kept images" });
    await user.clear(field);
    await user.type(field, "40");
    await user.click(form.getByRole("button", { name: "Save" }));
    const note = document.getElementById(field.getAttribute("aria-describedby") ?? "");
    expect(note?.textContent).toContain("A whole number from 1 to 10.");
    expect(document.activeElement).toBe(field);
    expect(count("PUT", "/api/repositories/acme/web/image/settings")).toBe(0);
  });

  it("what the server refuses stands at the field that it names", async () => {
    const refusal = refuse(400, "invalid_request", "The body is not valid: limitMinutes is above this plan.", "");
    const { user } = openRepository(readyImage(), { routes: { [path]: refusal } });
    const form = within(await screen.findByRole("form", { name: "Image settings" }));
    const field = form.getByRole("spinbutton", { name: "Limit of a build, minutes" });
    await user.type(field, "{Backspace}1");
    await user.click(form.getByRole("button", { name: "Save" }));
    const fault = await form.findByText(/above this plan/);
    expect(fault.closest(`[id="${field.getAttribute("aria-describedby")}"]`)).not.toBeNull();
  });
});

it("build time and size are charts with the same numbers as a table", async () => {
  const at = Date.now();
  const builds = [
    build({ id: buildId(3), requestedAt: at, durationMs: 31_000, mode: "incremental", sizeBytes: 400_000_000 }),
    build({ id: buildId(2), requestedAt: at - 9, durationMs: 120_000, sizeBytes: 390_000_000 }),
    check(9, 4, { requestedAt: at - 20 }),
  ];
  const { user } = openRepository(noImage, { builds });
  const charts = await section("Build time and size");
  expect(charts.getByRole("img", { name: "Build time of the last 2 builds, from 31 s to 2 min; the newest 31 s" })).toBeTruthy();
  expect(charts.getByRole("img", { name: /^Image size of the last 2 builds, from 390 MB to 400 MB/ })).toBeTruthy();
  await user.click(charts.getByText("Show as a table"));
  const rows = (await charts.findAllByRole("row")).map((row) => row.textContent);
  expect(rows).toHaveLength(3);
  expect(rows[1]).toContain("Incremental build31 s400 MBReady");
});

describe("sessions", () => {
  const sums = insights({
    starts: { image: 40, cold: 3, failed: 1 },
    coldReasons: [{ code: "other_branch", message: "The image is of another branch.", hint: "See Settings > Images.", count: 3 }],
    startTimes: { image: { count: 40, medianMs: 1_600, p95Ms: 3_200 }, cold: null },
    saved: { totalMs: 1_500_000, sessions: 40, medianMs: 36_000 },
    staleness: {
      target: { share: 0.95, withinMs: 30 * 60_000 },
      beforeSync: { known: 40, good: 39, share: 0.975, isMet: true },
      afterSync: { known: 40, good: 39, share: 0.975, isMet: false },
      ...{ medianBehindMs: 240_000, medianBehindCommits: 2 },
    },
  });
  const sumsPath = "GET /api/insights?days=30&repository=acme%2Fweb";

  it("their sums say what images saved, where the targets stand and why some were cold", async () => {
    openRepository(readyImage(), { routes: { [sumsPath]: ok(sums) } });
    const sessions = await section("Sessions");
    const saved = await sessions.findByText("Images saved 25 min");
    expect(saved.parentElement?.textContent).toContain(
      "36 s in a typical session. 40 starts from an image, 3 cold, 1 of them failed, in the last 30 days.",
    );
    expect(sessions.getByText("1.6 s, 95 % within 3.2 s")).toBeTruthy();
    expect(sessions.getByText("Target 95 % met")).toBeTruthy();
    expect(sessions.getByText("Target 100 % missed")).toBeTruthy();
    expect(sessions.getByText("Typically 4 min, 2 commits.")).toBeTruthy();
    const reasons = within(sessions.getByRole("list", { name: "Why sessions started cold" })).getAllByRole("listitem");
    expect(reasons.map((reason) => reason.textContent)).toEqual([
      "3 sessions:The image is of another branch. See Settings > Images.",
    ]);
  });

  it("each of the newest says what it saved against the cold start of a receipt", async () => {
    const sessions = [summary(1, { startMs: 1_600 }), summary(2, { startMs: 38_200, startedFrom: "base" })];
    openRepository(readyImage(), {
      routes: {
        "GET /api/sessions?repository=acme%2Fweb": ok({ sessions, next: null }),
        [`GET /api/sessions/${summary(1).id}`]: ok(session()),
      },
    });
    await screen.findByText(/saved 37 s/);
    const rows = within(screen.getByRole("list", { name: "Newest sessions" })).getAllByRole("listitem");
    expect(rows.map((row) => row.textContent?.includes("saved"))).toEqual([true, false]);
  });

  it("a start that becomes ready has the sums read again", async () => {
    const { sockets, count } = openRepository(readyImage());
    await (await section("Sessions")).findByText(/No session began/);
    sockets.of("/api/feed").send({ type: "session", session: summary(1, { startMs: 5 }) });
    await waitFor(() => expect(count("GET", "/api/insights?days=30&repository=acme%2Fweb")).toBe(2));
  });
});
