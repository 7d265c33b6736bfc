/** A tick over many repositories: what it asks GitHub, what it writes, whom it wakes, and where it stops. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { createInstallations } from "../../src/adapters/d1/installations.ts";
import { limits } from "../../src/domain/deadlines.ts";
import { github, imageObject, passTime, someSha } from "./harness.ts";
import { checkInstallation, countImageObjects, enableMany, nameOf, outcomes, scopeOf, skippedRows } from "./tick-world.ts";

it("[TK7] what needs nothing is written in bulk and wakes no object; a run of the same outcome is one row", async () => {
  const objects = await countImageObjects();
  await enableMany(120, (index) => (index === 3 ? { archived: true } : {}));
  await checkInstallation();
  const again = Date.now();
  await checkInstallation({ tickAt: again + 1 });
  const checks = await outcomes();
  expect(checks.size).toBe(120);
  expect(checks.get(scopeOf(3))).toEqual({ outcome: "archived", sha: someSha("a") });
  const rows = await skippedRows();
  expect(rows).toHaveLength(120);
  expect(rows.every((row) => row.count === 2)).toBe(true);
  expect(rows[0]).toMatchObject({ scope: scopeOf(0), reason: "unchanged", sha: someSha("a"), fromSha: someSha("a") });
  expect(await countImageObjects()).toBe(objects);
  // The same message once more counts nothing.
  await checkInstallation({ tickAt: again });
  expect((await skippedRows()).every((row) => row.count === 2)).toBe(true);
});

it("[TK7] another head begins another row, and its object is woken", async () => {
  await enableMany(2);
  await checkInstallation();
  await imageObject(scopeOf(1)).switchOn(
    { owner: "acme", name: nameOf(1), branch: "main", private: false, cloneUrl: "http://github.test/x.git", installationId: 7 },
    null,
    "dev",
  );
  await env.DB.prepare("UPDATE images SET ignore_paths = '[\"docs/**\"]'").run();
  const docs = { branches: { main: someSha("b") }, comparison: { status: "ahead", files: ["docs/a.md"] } };
  await github({
    do: "repositories",
    repositories: [0, 1].map((index) => ({ owner: "acme", name: nameOf(index), defaultBranch: "main", ...docs })),
  });
  await checkInstallation();
  expect((await skippedRows()).filter((row) => row.scope === scopeOf(0)).map((row) => row.reason)).toEqual([
    "unchanged",
    "ignored_paths",
  ]);
  expect((await outcomes()).get(scopeOf(1))?.outcome).toBe("building");
});

it("[TK8] a message takes so many pages and leaves the rest to the next one", async () => {
  await enableMany(2_010);
  const { sent, calls } = await checkInstallation();
  expect(calls.filter((one) => one === "POST /graphql")).toHaveLength(20);
  expect(sent).toEqual([{ message: expect.objectContaining({ after: scopeOf(1_999) }), delaySeconds: null }]);
  const rest = await checkInstallation(sent[0]?.message);
  expect(rest.calls.filter((one) => one === "POST /graphql")).toHaveLength(1);
  expect(rest.sent).toEqual([]);
  expect((await outcomes()).size).toBe(2_010);
});

it("[TK9] the tick stops before the allowance is used up, says so, and goes on after the reset where it stopped", async () => {
  await enableMany(350);
  const resetAt = Date.now() + 600_000;
  await github({ do: "rate", remaining: 502, resetAt });
  const { calls, sent } = await checkInstallation();
  expect(calls.filter((one) => one === "POST /graphql").length).toBeLessThanOrEqual(2);
  const checks = [...(await outcomes()).values()].map((one) => one.outcome);
  expect(checks.filter((one) => one === "unchanged")).toHaveLength(200);
  expect(checks.filter((one) => one === "unavailable")).toHaveLength(150);
  expect(sent).toHaveLength(1);
  expect(sent[0]?.message.after).toBe(scopeOf(199));
  expect(sent[0]?.delaySeconds).toBeGreaterThan(590);
  // Another tick before the reset asks nothing, and leaves the message that is on its way alone.
  const second = await checkInstallation();
  expect(second.calls.filter((one) => one === "POST /graphql")).toEqual([]);
  expect(second.sent).toEqual([]);
  passTime(610_000);
  await github({ do: "rate", remaining: 5_000, resetAt: resetAt + 3_600_000 });
  await checkInstallation(sent[0]?.message);
  expect([...(await outcomes()).values()].slice(200).map((one) => one.outcome)).toEqual(Array(150).fill("unchanged"));
});

it("[TK9] a refusal that says how long to wait is obeyed", async () => {
  await enableMany(2);
  await github({ do: "down", status: 429, only: "graphql", headers: { "retry-after": "120" } });
  const { sent } = await checkInstallation();
  expect(sent[0]?.delaySeconds).toBeGreaterThan(115);
  await github({ do: "down", status: null });
  expect((await checkInstallation()).calls).toEqual([]);
  passTime(125_000);
  await checkInstallation();
  expect((await outcomes()).get(scopeOf(1))?.outcome).toBe("unchanged");
});

it("[TK10] while GraphQL does not answer, so many heads are read one by one, and an unchanged one costs nothing", async () => {
  await enableMany(120);
  await github({ do: "down", status: 502, only: "graphql" });
  const { calls } = await checkInstallation();
  expect(calls.filter((one) => one.includes("/commits/"))).toHaveLength(100);
  const checks = [...(await outcomes()).values()].map((one) => one.outcome);
  expect(checks.filter((one) => one === "unchanged")).toHaveLength(100);
  expect(checks.filter((one) => one === "unavailable")).toHaveLength(20);
});

it("[TK10] of a head that was read by itself and is another one, the author is read too", async () => {
  await enableMany(2, (index) => (index === 1 ? { branches: { main: someSha("b") } } : {}));
  await github({ do: "down", status: 502, only: "graphql" });
  const { calls } = await checkInstallation();
  expect(calls.filter((one) => one.includes("/commits/"))).toHaveLength(3);
  const { results } = await env.DB.prepare("SELECT scope, commit_info AS told FROM head_sightings").all<{
    scope: string;
    told: string;
  }>();
  expect(results.map(({ scope, told }) => [scope, JSON.parse(told)])).toEqual([
    [scopeOf(1), { author: "Ada Lovelace", login: "ada", headline: `Commit ${someSha("b").slice(0, 7)}` }],
  ]);
});

it("[TK11] a lost installation makes its checks unavailable and changes nothing else until it is back", async () => {
  const objects = await countImageObjects();
  await enableMany(3);
  await checkInstallation();
  await github({ do: "lost", lost: true });
  passTime(3_600_000);
  await checkInstallation();
  expect([...(await outcomes()).values()].map((one) => one.outcome)).toEqual(Array(3).fill("unavailable"));
  expect((await createInstallations(env.DB).find(7)).lostAt).not.toBeNull();
  expect(await countImageObjects()).toBe(objects);
  await github({ do: "lost", lost: false });
  await checkInstallation();
  expect((await createInstallations(env.DB).find(7)).lostAt).toBeNull();
  expect((await outcomes()).get(scopeOf(0))?.outcome).toBe("unchanged");
});

it("[TK9] what one message learnt of REST's allowance the next one knows", async () => {
  const moved = { branches: { main: someSha("b") }, comparison: { status: "ahead", files: ["docs/a.md"] } };
  await enableMany(2, () => moved, ["docs/**"]);
  await github({ do: "rest-rate", remaining: limits.githubReserve + 2, resetAt: Date.now() + 3_600_000 });
  const first = await checkInstallation();
  expect(first.calls.filter((call) => call.includes("/compare/"))).toHaveLength(2);
  expect(await skippedRows()).toHaveLength(2);
  const further = [0, 1].map((index) => ({
    ...{ owner: "acme", name: nameOf(index), defaultBranch: "main", id: 1_000 + index },
    ...{ ...moved, branches: { main: someSha("c") } },
  }));
  await github({ do: "repositories", repositories: further });
  const second = await checkInstallation();
  expect(second.calls.filter((call) => call.includes("/compare/"))).toEqual([]);
});
