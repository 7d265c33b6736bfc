/** What a repository's page tells of commits: who wrote those that were built, and who saw each first. */
import { type HeadSighting } from "@open-inspect/protocol";
import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { ok, openDashboard, type Routes, refuse } from "./dashboard.tsx";
import { build, insights, readyImage, repository, session, sha, summary } from "./fixtures.ts";

const sightingsPath = "GET /api/repositories/acme/web/sightings?limit=20";
const title = "Who saw each commit first";

function openRepository(routes: Routes, builds = [build()]) {
  return openDashboard("/repositories/acme/web", {
    "GET /api/repositories": ok({ repositories: [repository("web", readyImage())] }),
    "GET /api/builds?repository=acme%2Fweb&limit=30": ok({ builds, next: null }),
    "GET /api/images?repository=acme%2Fweb": ok({ images: [] }),
    "GET /api/insights?days=30&repository=acme%2Fweb": ok(insights()),
    [`GET /api/sessions/${summary(1).id}`]: ok(session()),
    ...routes,
  });
}

const sighting = (over: Partial<HeadSighting>): HeadSighting => ({
  ...{ sha: sha("abc1234"), pushedAt: null, firstBy: "push", firstAt: Date.now() - 180_000, later: [] },
  ...over,
});

describe("the ledger of heads", () => {
  it("is read when it is opened, and says who was first and how late the others were", async () => {
    const later = [{ by: "tick", at: Date.now(), lateMs: 95_000 }] as const;
    const sightings = [sighting({ later: [...later] }), sighting({ sha: sha("def5678"), firstBy: "person" })];
    const page = openRepository({ [sightingsPath]: ok({ sightings }) });
    const summaryLine = await screen.findByText(title);
    expect(page.count("GET", sightingsPath.slice(4))).toBe(0);
    await page.user.click(summaryLine);
    const table = within(await screen.findByRole("table", { name: title }));
    const rows = table.getAllByRole("row").map((row) => [...row.children].map((cell) => cell.textContent));
    expect(rows).toEqual([
      ["Commit", "First seen by", "When", "Seen later by"],
      ["abc1234", "Push", "3 min ago", "scheduled check, 1 min 35 s later"],
      ["def5678", "A person", "3 min ago", "nobody else"],
    ]);
  });

  it("says so where nothing was seen, while it loads, and when it cannot be read", async () => {
    const held = Promise.withResolvers<ReturnType<typeof ok>>();
    let isDown = true;
    const refused = refuse(500, "internal", "The database does not answer.", "Try again.");
    const { user } = openRepository({ [sightingsPath]: () => (isDown ? refused : held.promise) });
    await user.click(await screen.findByText(title));
    const failure = await screen.findByText("The database does not answer.", undefined, { timeout: 5_000 });
    expect(failure.closest("[role=alert]")).toBeTruthy();
    isDown = false;
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByRole("status", { name: "Loading who saw each commit" })).toBeTruthy();
    held.resolve(ok({ sightings: [] }));
    await waitFor(() => expect(screen.getByText(/No new commit was seen/)).toBeTruthy());
  });
});

describe("a build's commit", () => {
  it("is told with its first line and its author, whose page is linked where GitHub knows them", async () => {
    const commit = { author: "Ada Lovelace", login: "ada", headline: "Count with Bernoulli" };
    const unknown = { author: "Someone", login: null, headline: "Tidy" };
    openRepository({}, [build({ commit }), build({ id: build().id.replace(/.$/, "9"), requestedAt: 1, commit: unknown })]);
    const [first, second] = (await screen.findByRole("list", { name: "Builds" })).children;
    expect(first?.textContent).toContain("Count with Bernoulli by Ada Lovelace");
    expect(
      within(first as HTMLElement)
        .getByRole("link", { name: "Ada Lovelace" })
        .getAttribute("href"),
    ).toMatch(/^https?:\/\/[^/]+\/ada$/);
    expect(second?.textContent).toContain("Tidy by Someone");
    expect(within(second as HTMLElement).queryByRole("link", { name: "Someone" })).toBeNull();
  });
});
