/** The card of a repository's warm sandboxes: what stands ready, why not, and what is saved. */
import { defaultSessionSettings, type PoolView, type SessionSettings } from "@open-inspect/protocol";
import { screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { ok, openDashboard, type Routes, refuse } from "./dashboard.tsx";
import { insights, noImage, repository } from "./fixtures.ts";

const path = "/api/repositories/acme/web/session-settings";
const pool = (change: Partial<SessionSettings> = {}, more: Partial<PoolView> = {}): PoolView => ({
  settings: { ...defaultSessionSettings, ...change },
  ready: 0,
  starting: 0,
  problem: null,
  ...more,
});

async function openCard(routes: Routes) {
  const dashboard = openDashboard("/repositories/acme/web", {
    "GET /api/repositories": ok({ repositories: [repository("web", noImage)] }),
    "GET /api/builds?repository=acme%2Fweb&limit=30": ok({ builds: [], next: null }),
    "GET /api/images?repository=acme%2Fweb": ok({ images: [] }),
    "GET /api/insights?days=30&repository=acme%2Fweb": ok(insights()),
    ...routes,
  });
  const card = within(await screen.findByRole("region", { name: "Warm sandboxes" }));
  const saved = () => dashboard.asked.filter((each) => each.method === "PUT" && each.path === path).map((each) => each.body);
  return { ...dashboard, card, saved };
}

it("says how many sandboxes stand ready and start, and why there are not more", async () => {
  const { card } = await openCard({
    [`GET ${path}`]: ok(pool({ poolSize: 3 }, { ready: 1, starting: 1, problem: "The agent did not start." })),
  });
  const status = await card.findByText("1 ready");
  expect(status.closest("[data-ready]")?.textContent).toBe("1 ready, 1 starting of 3The agent did not start.");
});

it("says that none stand ready outside of the chosen hours", async () => {
  const poolHours = [(new Date().getUTCHours() + 12) % 24];
  const { card } = await openCard({ [`GET ${path}`]: ok(pool({ poolSize: 3, poolHours })) });
  await card.findByText(/outside of the chosen hours/);
});

it("saves size, hours, time zone and idle stop as they are chosen", async () => {
  let current = pool();
  const { user, card, saved } = await openCard({
    [`GET ${path}`]: () => ok(current),
    [`PUT ${path}`]: ({ body }) => {
      current = { ...pool(), settings: body as SessionSettings, starting: 2 };
      return ok(current);
    },
  });
  await card.findByText(/No sandboxes stand ready\. A\s+session starts its own/);
  const save = card.getByRole<HTMLButtonElement>("button", { name: "Save" });
  expect(save.disabled).toBe(true);
  await user.selectOptions(card.getByLabelText("Sandboxes that stand ready"), "2");
  for (const hour of [10, 9, 11, 11]) await user.click(card.getByRole("checkbox", { name: `${hour}:00 to ${hour}:59` }));
  await user.clear(card.getByLabelText("Time zone of the hours"));
  await user.type(card.getByLabelText("Time zone of the hours"), "Europe/Berlin");
  await user.clear(card.getByLabelText("Stop an idle session after, minutes"));
  await user.type(card.getByLabelText("Stop an idle session after, minutes"), "25");
  await user.click(save);
  await card.findByText("Saved.");
  expect(saved()).toEqual([{ idleStopMinutes: 25, poolSize: 2, poolHours: [9, 10], poolTimeZone: "Europe/Berlin" }]);
  expect(card.getByText(/2 starting/)).toBeTruthy();
});

it("nothing is sent while the minutes are not a number, and the field says what fits", async () => {
  const { user, card, saved } = await openCard({ [`GET ${path}`]: ok(pool()) });
  const minutes = await card.findByLabelText("Stop an idle session after, minutes");
  await user.clear(minutes);
  await user.type(minutes, "0");
  await user.click(card.getByRole("button", { name: "Save" }));
  expect(card.getByText("A whole number of minutes from 1 to 720.")).toBeTruthy();
  expect(document.activeElement).toBe(minutes);
  expect(saved()).toEqual([]);
  await user.click(card.getByRole("button", { name: "Take back" }));
  expect((minutes as HTMLInputElement).value).toBe("10");
});

it("a time zone that the server does not know is said at its field", async () => {
  const { user, card } = await openCard({
    [`GET ${path}`]: ok(pool({ poolSize: 1 })),
    [`PUT ${path}`]: refuse(400, "invalid_request", "There is no time zone Mars: poolTimeZone is not valid.", "Use a name."),
  });
  const zone = await card.findByLabelText("Time zone of the hours");
  await user.clear(zone);
  await user.type(zone, "Mars");
  await user.click(card.getByRole("button", { name: "Save" }));
  await card.findByText(/There is no time zone Mars/);
  expect(zone.getAttribute("aria-invalid")).toBe("true");
});
