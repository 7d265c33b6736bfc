/** Settings > Images: what each state says, and what the switch, the button and the feed do to it. */
import { act, screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { ok, openDashboard, type Routes, refuse } from "./dashboard.tsx";
import {
  active,
  build,
  buildId,
  buildingImage,
  disabledImage,
  failedImage,
  imageId,
  noImage,
  readyImage,
  repository,
  runningBuild,
  sha,
} from "./fixtures.ts";

const openImages = (repositories: unknown[], routes: Routes = {}) =>
  openDashboard("/settings/images", { "GET /api/repositories": ok({ repositories }), ...routes });
const rowOf = async (name: string) => within(await screen.findByRole("listitem", { name: `acme/${name}` }));
const badgeOf = async (name: string) =>
  (await screen.findByRole("listitem", { name: `acme/${name}` })).querySelector("[data-status]");
const switchOf = (name: string) => screen.getByRole("switch", { name: `Pre-built images for acme/${name}` });

describe("states", () => {
  it.each([
    ["ready", "Ready", "ok", readyImage()],
    ["building", "Building", "warn", buildingImage()],
    ["failed", "Failed", "bad", failedImage(null)],
    ["none", "No image", "neutral", noImage],
    ["disabled", "Disabled", "neutral", disabledImage],
  ])("%s is said in the word %s with its colour", async (status, word, tone, image) => {
    openImages([repository("web", image)]);
    const badge = await badgeOf("web");
    expect(badge?.textContent).toBe(word);
    expect(badge?.getAttribute("data-status")).toBe(status);
    expect(badge?.getAttribute("data-tone")).toBe(tone);
  });

  it("Ready shows commit, age, build time and what the last check found", async () => {
    openImages([repository("web", readyImage())]);
    await rowOf("web");
    const text = screen.getByRole("listitem", { name: "acme/web" }).textContent ?? "";
    expect(text).toContain("abc1234");
    expect(text).toContain("3 min ago");
    expect(text).toContain("built in 41 s");
    expect(text).toContain("checked 2 min ago: unchanged");
  });

  it("Building pulses and names the phase and the time it has taken", async () => {
    openImages([repository("web", { ...buildingImage(), latestBuild: runningBuild({ startedAt: Date.now() - 12_000 }) })]);
    expect((await badgeOf("web"))?.querySelector(".pulse-dot")).not.toBeNull();
    const row = await rowOf("web");
    expect(row.getByText("running setup.sh").getAttribute("data-phase")).toBe("setup");
    expect(row.getByText(/^1[23] s$/)).toBeTruthy();
  });

  it("Failed shows the cause, what to do, and the last lines without control codes", async () => {
    openImages([repository("web", failedImage(null))]);
    const row = await rowOf("web");
    expect(row.getByText(/ended with exit code 2/)).toBeTruthy();
    expect(row.getByText("Run the script in a checkout of the same commit.")).toBeTruthy();
    expect((await row.findByText(/missing script: build/)).textContent).toBe(
      "npm error missing script: build\nsetup.sh: line 7: exited with 2",
    );
  });

  it("a pin and failures in a row are said in the row", async () => {
    const pin = { imageId: imageId(1), reason: "newer ones break login", by: "ada", at: 0, until: null };
    const failing = { count: 3, firstSha: null, firstAt: 0, nextTryAt: 0 };
    openImages([repository("web", { ...failedImage(active()), pin, failing })]);
    const row = await rowOf("web");
    expect(row.getByText("pinned by ada").title).toBe("newer ones break login");
    expect(row.getByText("3 attempts failed in a row")).toBeTruthy();
  });

  it("Failed beside an active image says that sessions keep starting from it", async () => {
    openImages([repository("web", failedImage(active()))]);
    await rowOf("web");
    expect(screen.getByRole("listitem", { name: "acme/web" }).textContent).toContain("Sessions keep starting from abc1234");
  });
});

describe("switch", () => {
  it("moves at once and takes over the server's answer", async () => {
    let answer: (body: unknown) => void = () => {};
    const { user, asked } = openImages([repository("web", disabledImage)], {
      "PUT /api/repositories/acme/web/image": () =>
        new Promise((resolve) => {
          answer = (body) => resolve(ok(body));
        }),
    });
    await user.click(await screen.findByRole("switch", { name: "Pre-built images for acme/web" }));
    expect(switchOf("web").getAttribute("aria-checked")).toBe("true");
    expect(asked.at(-1)?.body).toEqual({ enabled: true });
    answer(buildingImage());
    await waitFor(async () => expect((await badgeOf("web"))?.textContent).toBe("Building"));
  });

  it("goes back when the server refuses, and the row says why", async () => {
    const { user } = openImages([repository("web", readyImage())], {
      "PUT /api/repositories/acme/web/image": refuse(
        503,
        "gateway_unavailable",
        "The sandbox service is down.",
        "Start the gateway.",
      ),
    });
    await user.click(await screen.findByRole("switch", { name: "Pre-built images for acme/web" }));
    const alert = await screen.findByRole("alert");
    expect(alert.textContent).toContain("The sandbox service is down.");
    expect(alert.textContent).toContain("Start the gateway.");
    expect(switchOf("web").getAttribute("aria-checked")).toBe("true");
    expect((await badgeOf("web"))?.textContent).toBe("Ready");
  });

  it("does not let a late answer undo what the feed said in the meantime", async () => {
    let answer = () => {};
    const { user, sockets } = openImages([repository("web", disabledImage)], {
      "PUT /api/repositories/acme/web/image": () =>
        new Promise((resolve) => {
          answer = () => resolve(ok(noImage));
        }),
    });
    await user.click(await screen.findByRole("switch", { name: "Pre-built images for acme/web" }));
    sockets.of("/api/feed").send({ type: "repository", repository: repository("web", buildingImage()) });
    answer();
    await waitFor(async () => expect((await badgeOf("web"))?.textContent).toBe("Building"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await badgeOf("web"))?.textContent).toBe("Building");
  });
});

describe("rebuild button", () => {
  it("asks for a build and shows it", async () => {
    const { user, count } = openImages([repository("web", readyImage())], {
      "POST /api/repositories/acme/web/image/builds": { status: 202, body: { build: runningBuild({ phase: "clone" }) } },
    });
    await user.click(await screen.findByRole("button", { name: "Rebuild now for acme/web" }));
    await screen.findByText("cloning");
    expect(count("POST", "/api/repositories/acme/web/image/builds")).toBe(1);
  });

  it("asked beside a running build, says that another follows and keeps showing the running one", async () => {
    const { user } = openImages([repository("web", buildingImage())], {
      "POST /api/repositories/acme/web/image/builds": {
        status: 202,
        body: { build: runningBuild({ id: buildId(9), status: "queued", phase: null }) },
      },
    });
    await user.click(await screen.findByRole("button", { name: "Rebuild now for acme/web" }));
    const link = await screen.findByRole("link", { name: "another build" });
    expect(link.getAttribute("href")).toBe(`/builds/${buildId(9)}`);
    expect(link.closest('[role="status"]')?.textContent).toBe("Asked for: another build follows this one.");
    expect(screen.getByText("running setup.sh")).toBeTruthy();
  });

  it("is off while images are switched off", async () => {
    openImages([repository("web", disabledImage)]);
    const button = await screen.findByRole<HTMLButtonElement>("button", { name: "Rebuild now for acme/web" });
    expect(button.disabled).toBe(true);
  });
});

describe("feed", () => {
  it("a message updates its row and is announced", async () => {
    const { sockets } = openImages([repository("web", buildingImage()), repository("api", noImage)]);
    await rowOf("web");
    sockets.of("/api/feed").send({ type: "repository", repository: repository("web", readyImage()) });
    await waitFor(async () => expect((await badgeOf("web"))?.textContent).toBe("Ready"));
    expect((await badgeOf("api"))?.textContent).toBe("No image");
    expect(document.querySelector("[data-announcements]")?.textContent).toBe("Image of acme/web: Ready");
  });

  it("a message that came while the list was on its way is not undone by the list", async () => {
    let answer = () => {};
    const { sockets } = openImages([], {
      "GET /api/repositories": () =>
        new Promise((resolve) => {
          answer = () => resolve(ok({ repositories: [repository("web", buildingImage())] }));
        }),
    });
    await screen.findByRole("status", { name: "Loading repositories" });
    sockets.of("/api/feed").send({ type: "repository", repository: repository("web", readyImage()) });
    answer();
    expect((await badgeOf("web"))?.textContent).toBe("Ready");
  });

  it("a cut is said, and after the reconnect the list is read again", async () => {
    let image = buildingImage();
    const { sockets, count } = openImages([], {
      "GET /api/repositories": () => ok({ repositories: [repository("web", image)] }),
    });
    await rowOf("web");
    const first = sockets.of("/api/feed");
    first.open();
    expect(screen.getAllByRole("status", { name: "Updates: Live" }).length).toBeGreaterThan(0);
    first.cut();
    expect(screen.getAllByText("Reconnecting…").length).toBeGreaterThan(0);
    image = readyImage();
    const before = count("GET", "/api/repositories");
    const second = await waitFor(() => sockets.of("/api/feed"), { timeout: 2_000 });
    second.open();
    second.send({ type: "hello", notice: null });
    await waitFor(async () => expect((await badgeOf("web"))?.textContent).toBe("Ready"));
    expect(count("GET", "/api/repositories")).toBeGreaterThan(before);
  });
});

it("a cut that lasts is said above every page until the server is back", async () => {
  const { sockets } = openImages([repository("web", readyImage())]);
  await rowOf("web");
  sockets.of("/api/feed").open();
  sockets.of("/api/feed").cut();
  expect(screen.queryByText(/No connection to the server/)).toBeNull();
  await screen.findByText(/No connection to the server/, {}, { timeout: 4_500 });
  act(() => void window.dispatchEvent(new Event("online")));
  sockets.of("/api/feed").open();
  expect(screen.queryByText(/No connection to the server/)).toBeNull();
});

it("a notice of the operator stands above every page", async () => {
  const { sockets } = openImages([repository("web", readyImage())]);
  await rowOf("web");
  const feed = sockets.of("/api/feed");
  feed.open();
  feed.send({ type: "hello", notice: "isolation: none. Run only code that you trust." });
  expect((await screen.findByRole("note")).textContent).toContain("isolation: none");
});

it("the refusal for want of a branch goes when there is one", async () => {
  const { user, sockets } = openImages([repository("web", disabledImage, { defaultBranch: null })], {
    "PUT /api/repositories/acme/web/image": refuse(
      409,
      "repository_empty",
      "acme/web has no branch yet.",
      "Push a first commit.",
    ),
  });
  await user.click(await screen.findByRole("switch", { name: "Pre-built images for acme/web" }));
  await screen.findByRole("alert");
  sockets.of("/api/feed").send({ type: "repository", repository: repository("web", disabledImage) });
  await waitFor(() => expect(screen.queryByRole("alert")).toBeNull());
});

describe("list", () => {
  it("without a repository says how to install the GitHub App", async () => {
    openImages([]);
    expect(await screen.findByText(/Install the GitHub App/)).toBeTruthy();
  });

  it("a failure says what to do, and another try loads the list", async () => {
    let works = false;
    const { user } = openImages([], {
      "GET /api/repositories": () =>
        works
          ? ok({ repositories: [repository("web", noImage)] })
          : refuse(429, "rate_limited", "Too many requests came at once.", "Try again in a minute."),
    });
    const alert = await screen.findByRole("alert");
    expect(alert.textContent).toContain("Too many requests came at once.");
    expect(alert.textContent).toContain("Try again in a minute.");
    works = true;
    await user.click(screen.getByRole("button", { name: "Try again" }));
    await rowOf("web");
  });

  it("an answer that is not the protocol's is refused with a sentence", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    openImages([{ owner: "acme" }]);
    expect((await screen.findByRole("alert")).textContent).toContain("not one that this page understands");
    vi.restoreAllMocks();
  });

  it("a long list can be searched", async () => {
    const { user } = openImages(names.map((name) => repository(name, noImage)));
    await user.type(await screen.findByRole("searchbox", { name: "Search repositories" }), "acme nine");
    await waitFor(() => expect(rowNames()).toEqual(["acme/nine"]));
  });

  const names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
  const rowNames = () => screen.getAllByRole("listitem").map((row) => row.getAttribute("aria-label"));

  it("a long list is narrowed by status with counts, and the address says so", async () => {
    const images = { one: failedImage(null), two: readyImage() };
    const image = (name: string) => (name in images ? images[name as keyof typeof images] : noImage);
    const { user, router } = openImages(names.map((name) => repository(name, image(name))));
    const filter = within(await screen.findByRole("navigation", { name: "Filter by status" }));
    expect(filter.getAllByRole("link").map((link) => link.textContent)).toEqual(["All9", "Ready1", "Failed1", "No image7"]);
    await user.click(filter.getByRole("link", { name: /Failed/ }));
    await waitFor(() => expect(rowNames()).toEqual(["acme/one"]));
    expect(router.state.location.search).toEqual({ status: "failed" });
    expect(filter.getByRole("link", { name: /Failed/ }).getAttribute("aria-current")).toBe("page");
    expect(screen.getByText("1 of 9 repositories").getAttribute("role")).toBe("status");
  });

  it("a row that moves on to another status stays while the filter does", async () => {
    const { sockets } = openDashboard("/settings/images?status=failed", {
      "GET /api/repositories": ok({ repositories: [repository("one", failedImage(null)), repository("two", noImage)] }),
    });
    await rowOf("one");
    sockets.of("/api/feed").send({ type: "repository", repository: repository("one", buildingImage()) });
    await waitFor(async () => expect((await badgeOf("one"))?.textContent).toBe("Building"));
    expect(rowNames()).toEqual(["acme/one"]);
  });

  it("nothing found offers the way back", async () => {
    const { user } = openDashboard("/settings/images?status=building", {
      "GET /api/repositories": ok({ repositories: [repository("one", noImage)] }),
    });
    await screen.findByText("No repository with the status Building.");
    await user.click(screen.getByRole("link", { name: "Show every status" }));
    await rowOf("one");
  });

  it("a row opens to its clone URL and leads to the build's log", async () => {
    const { user } = openImages([repository("web", { ...readyImage(), latestBuild: build({ sha: sha("abc1234") }) })]);
    const row = await rowOf("web");
    expect(row.getByRole("link", { name: "Log of the last build" }).getAttribute("href")).toBe(`/builds/${build().id}`);
    await user.click(row.getByRole("button", { name: "Clone URL and more for acme/web" }));
    expect(row.getByText("git clone https://github.test/acme/web.git")).toBeTruthy();
    expect(row.getByText("git push origin main")).toBeTruthy();
    expect(row.getByText(/GitHub name and, as the password, a token/)).toBeTruthy();
  });
});
