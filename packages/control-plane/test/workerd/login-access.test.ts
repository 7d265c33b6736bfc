/** What becomes of a login in the hours after it: GitHub is asked again, tokens are renewed, answers get lost. */
import { env } from "cloudflare:workers";
import { errorBodySchema } from "@open-inspect/protocol";
import { expect, it, vi } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { eventually, github, passTime } from "./harness.ts";
import { type Browser, openBrowser } from "./login-browser.ts";
import { deliver } from "./webhook.ts";

const rows = async (table: "logins" | "people") => (await env.DB.prepare(`SELECT * FROM ${table}`).all()).results;
const statusOf = async (browser: Browser) => (await browser.go("GET", "/api/sessions")).status;

it("[LI6] who loses access is logged out everywhere within an hour", async () => {
  const [one, another] = [openBrowser(), openBrowser()];
  await one.logIn("mona");
  await another.logIn("mona");
  await github({ do: "person", login: "mona", change: { accounts: ["Other"] } });
  passTime(deadlines.accessRecheckMs - 60_000);
  expect(await statusOf(one)).toBe(200);
  passTime(deadlines.accessHoldsMs - deadlines.accessRecheckMs + 60_000);
  expect(await statusOf(one), "asked before it is answered").toBe(401);
  expect(await statusOf(another)).toBe(401);
  expect(await rows("logins")).toEqual([]);
  expect((await github({ do: "state" })).login.ended).toHaveLength(1);

  await github({ do: "person", login: "mona", change: { accounts: ["acme"] } });
  await one.logIn("mona");
  await github({ do: "revoke", login: "mona" });
  passTime(deadlines.accessRecheckMs + 1);
  expect(await statusOf(one), "asked behind the request").toBe(200);
  await eventually(async () => (await statusOf(one)) === 401, "who takes it back at GitHub is logged out");
});

it("[LI6] what GitHub tells of a revocation or a lost installation holds with the next request", async () => {
  const [mona, octo] = [openBrowser(), openBrowser()];
  await mona.logIn("mona");
  await octo.logIn("octo-dev");
  const event = { action: "revoked", sender: { id: 7_000_002 } };
  expect(await deliver("github_app_authorization", event)).toMatchObject({ accepted: true });
  expect(await statusOf(mona), "an event from before the login ends nothing").toBe(200);
  await github({ do: "revoke", login: "mona" });
  await deliver("github_app_authorization", event);
  expect([await statusOf(mona), await statusOf(octo)]).toEqual([401, 200]);
  await github({ do: "person", login: "octo-dev", change: { accounts: [] } });
  expect(await statusOf(octo)).toBe(200);
  await deliver("installation", { action: "suspend", installation: { id: 7 } });
  expect(await statusOf(octo)).toBe(401);
});

it("[LI8] a logout after the token has ended by itself is as good as any", async () => {
  const browser = openBrowser();
  await browser.logIn("mona");
  await github({ do: "revoke", login: "mona" });
  const warned = vi.spyOn(console, "warn");
  expect(await (await browser.go("POST", "/api/auth/logout")).json()).toEqual({ loggedOut: true });
  await eventually(
    async () => (await github({ do: "state" })).calls.some((one) => one.startsWith("DELETE /applications/")),
    "ended",
  );
  expect(warned.mock.calls.flat().join("\n")).not.toContain("token.not_ended");
  warned.mockRestore();
});

it("[LI6] GitHub that does not answer is believed for hours, asked once a minute, and not for ever", async () => {
  const browser = openBrowser();
  await browser.logIn("mona");
  await github({ do: "down", status: 503 });
  passTime(deadlines.accessHoldsMs + 1);
  const asked = async () => (await github({ do: "state" })).calls.filter((one) => one === "GET /user/installations").length;
  const before = await asked();
  for (let count = 0; count < 3; count++) expect(await statusOf(browser)).toBe(200);
  expect((await asked()) - before).toBe(1);
  passTime(deadlines.personPauseMs + 1);
  expect(await statusOf(browser)).toBe(200);
  expect((await asked()) - before).toBe(2);
  passTime(deadlines.accessUnprovenMs);
  const answer = await browser.go("GET", "/api/sessions");
  expect(errorBodySchema.parse(await answer.json()).error.message).toContain("GitHub");
  expect(answer.status).toBe(401);
  await github({ do: "down", status: null });
  passTime(deadlines.personPauseMs + 1);
  expect(await statusOf(browser), "it goes on without a new login").toBe(200);
});

it("[LI7] many requests at once renew a token once, and nobody is logged out by it", async () => {
  const browser = openBrowser();
  await browser.logIn("mona");
  passTime(9 * 3_600_000);
  await github({ do: "tokens", are: "slow" });
  expect(await Promise.all(Array.from({ length: 6 }, () => statusOf(browser)))).toEqual(Array(6).fill(200));
  expect((await github({ do: "state" })).login.refreshes).toBe(1);
  expect(await statusOf(browser)).toBe(200);
  expect((await github({ do: "state" })).login.refreshes).toBe(1);
});

it("[LI7] a renewal whose answer was lost means a new login, and no loop", async () => {
  const browser = openBrowser();
  await browser.logIn("mona");
  passTime(9 * 3_600_000);
  await github({ do: "tokens", are: "lost" });
  for (let count = 0; count < 3; count++) expect(await statusOf(browser)).toBe(401);
  expect((await github({ do: "state" })).login.refreshes).toBe(1);
  expect(await rows("logins"), "it may have been an outage").toHaveLength(1);
  await github({ do: "tokens", are: null });
  passTime(deadlines.personPauseMs + 1);
  expect(await statusOf(browser)).toBe(401);
  expect(await rows("logins")).toEqual([]);
  expect(await browser.logIn("mona")).toBe("/");
  expect(await statusOf(browser)).toBe(200);
});
