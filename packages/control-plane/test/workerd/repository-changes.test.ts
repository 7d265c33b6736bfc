/** Renamed, archived and deleted repositories, lost installations and ignored pushes: told by webhooks, and found without them. */
import { env } from "cloudflare:workers";
import { type BuildList, type RepositoryList, type SightingList } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { createInstallations } from "../../src/adapters/d1/installations.ts";
import { tick } from "../../src/scheduler.ts";
import { type FakeRepository } from "../fakes/github.ts";
import { github, json, passTime, someSha } from "./harness.ts";
import { checkInstallation, enableMany, nameOf, outcomes, scopeOf, skippedRows } from "./tick-world.ts";
import { deliver } from "./webhook.ts";

const repositoryEvent = (action: string, name: string, more: object = {}) => ({
  action,
  repository: {
    ...{ id: 1_000, name, owner: { login: "acme" }, default_branch: "main", private: false, archived: action === "archived" },
    clone_url: `http://github.test/acme/${name}.git`,
  },
  installation: { id: 7 },
  ...more,
});
const renamed: FakeRepository = {
  ...{ id: 1_000, owner: "acme", name: "better", defaultBranch: "main", branches: { main: someSha("a") } },
  formerly: `acme/${nameOf(0)}`,
};

async function expectRenamed(): Promise<void> {
  const { results } = await env.DB.prepare(
    "SELECT s.scope, s.enabled, r.gone_at IS NULL AS listed FROM image_scopes s JOIN repositories r ON r.scope = s.scope ORDER BY s.scope",
  ).all();
  expect(results).toEqual([
    { scope: "repo:acme/better", enabled: 1, listed: 1 },
    { scope: scopeOf(0), enabled: expect.anything(), listed: 0 },
  ]);
  const settings = await env.DB.prepare("SELECT settings FROM image_scopes WHERE scope = 'repo:acme/better'").first<string>(
    "settings",
  );
  expect(JSON.parse(settings ?? "{}")).toMatchObject({ keptImages: 7 });
}
async function expectRenamedList(): Promise<void> {
  const { results } = await env.DB.prepare("SELECT scope FROM repositories WHERE gone_at IS NULL").all();
  expect(results).toEqual([{ scope: "repo:acme/better" }]);
}
const setSettings = () =>
  env.DB.prepare('UPDATE image_scopes SET settings = \'{"limitMinutes":5,"keptImages":7,"rebuildMode":"clean"}\'').run();

it("[TK13] a rename takes switch and settings along: told by the webhook", async () => {
  await enableMany(1);
  await setSettings();
  await github({ do: "repositories", repositories: [renamed] });
  const changes = { repository: { name: { from: nameOf(0) } } };
  expect((await deliver("repository", repositoryEvent("renamed", "better", { changes }))).accepted).toBe(true);
  await expectRenamed();
});

it("[TK13] a rename takes switch and settings along: found by the tick", async () => {
  await enableMany(1);
  await setSettings();
  await github({ do: "repositories", repositories: [renamed] });
  await checkInstallation();
  await expectRenamed();
});

it("[TK13] a rename takes switch and settings along: found by the sync", async () => {
  await enableMany(1);
  await setSettings();
  await github({ do: "repositories", repositories: [renamed] });
  const { body } = await json<RepositoryList>("GET", "/api/repositories?sync=force");
  expect(body.repositories.map((one) => one.name)).toEqual(["better"]);
  await expectRenamed();
});

it("[TK13] a repository that its installation cannot see any more, under another name and owner: found by the tick", async () => {
  await enableMany(1);
  await setSettings();
  await github({ do: "repositories", repositories: [{ ...renamed, formerly: "acme/none" }] });
  await checkInstallation();
  await expectRenamed();
  // Once is enough: what is set from then on is not overwritten.
  await env.DB.prepare("UPDATE image_scopes SET settings = json_set(settings, '$.keptImages', 9) WHERE scope = ?")
    .bind("repo:acme/better")
    .run();
  await json("GET", "/api/repositories?sync=force");
  const row = await env.DB.prepare("SELECT settings FROM image_scopes WHERE scope = 'repo:acme/better'").first("settings");
  expect(JSON.parse(String(row))).toMatchObject({ keptImages: 9 });
});

it("[TK13] what is kept under the old name can still be read by it", async () => {
  await enableMany(1);
  await github({ do: "repositories", repositories: [renamed] });
  await checkInstallation();
  await expectRenamedList();
  for (const kind of ["builds", "images", "insights"]) {
    const { status } = await json("GET", `/api/${kind}?repository=acme/${nameOf(0)}`);
    expect([kind, status]).toEqual([kind, 200]);
  }
  expect((await json("GET", "/api/builds?repository=acme/never-was")).status).toBe(404);
});

it("[TK14] an archived repository says so at once, and a deleted one leaves the list: by webhook, and by the tick", async () => {
  await enableMany(3);
  await checkInstallation();
  await deliver("repository", repositoryEvent("archived", nameOf(0)));
  expect((await outcomes()).get(scopeOf(0))).toEqual({ outcome: "archived", sha: someSha("a") });
  await deliver("repository", repositoryEvent("deleted", nameOf(1)));
  await github({ do: "repositories", repositories: [{ ...renamed, name: nameOf(0), formerly: "acme/none", archived: true }] });
  await checkInstallation();
  const listed = await env.DB.prepare("SELECT scope, archived FROM repositories WHERE gone_at IS NULL").all();
  expect(listed.results).toEqual([{ scope: scopeOf(0), archived: 1 }]);
  // Settings stay for when it comes back.
  expect(await env.DB.prepare("SELECT count(*) AS n FROM image_scopes WHERE enabled = 1").first<number>("n")).toBe(3);
});

it("[TK11] a lost installation: told by the webhook, and found by the sync", async () => {
  await enableMany(2);
  await checkInstallation();
  await deliver("installation", { action: "suspend", installation: { id: 7 } });
  expect([...(await outcomes()).values()].map((one) => one.outcome)).toEqual(["unavailable", "unavailable"]);
  await deliver("installation", { action: "unsuspend", installation: { id: 7 } });
  expect((await createInstallations(env.DB).find(7)).lostAt).toBeNull();
  await github({ do: "lost", lost: true });
  passTime(60_000);
  const { body } = await json<RepositoryList>("GET", "/api/repositories?sync=force");
  expect(body.repositories.map((one) => one.image.lastCheck?.outcome)).toEqual(["unavailable", "unavailable"]);
  expect((await createInstallations(env.DB).find(7)).lostAt).not.toBeNull();
});

const push = (commits: { added?: string[]; modified?: string[] }[], more: object = {}) =>
  deliver("push", {
    ...{ ref: "refs/heads/main", before: someSha("a"), after: someSha("b"), commits },
    repository: { name: nameOf(0), owner: { login: "acme" }, default_branch: "main", pushed_at: 1_700_000_000 },
    ...more,
  });

it("[TK12] [WH3] a push of ignored paths is a skipped row: by its own list where that is whole, else by a comparison", async () => {
  await enableMany(1, () => ({ comparison: { status: "ahead", files: ["docs/a.md"] } }), ["docs/**"]);
  const before = (await github({ do: "state" })).calls.length;
  expect((await push([{ modified: ["docs/a.md"] }])).reason).toContain("ignored");
  expect((await github({ do: "state" })).calls).toHaveLength(before);
  expect(await skippedRows()).toEqual([
    expect.objectContaining({ reason: "ignored_paths", sha: someSha("b"), fromSha: someSha("a") }),
  ]);
  const { body } = await json<BuildList>("GET", `/api/builds?repository=acme/${nameOf(0)}`);
  expect(body.builds).toEqual([expect.objectContaining({ status: "skipped", skipped: { reason: "ignored_paths", count: 1 } })]);
  // A merge names no files: GitHub is asked.
  expect((await push([{}], { after: someSha("c") })).reason).toContain("ignored");
  expect((await github({ do: "state" })).calls.at(-1)).toContain("/compare/");
  expect((await push([{ modified: ["src/a.ts"] }], { after: someSha("d") })).reason).not.toContain("ignored");
});

it("[TK12] a force push is another head like any other, and is built", async () => {
  const forced = { branches: { main: someSha("b") }, comparison: { status: "diverged", files: ["docs/a.md"] } };
  await enableMany(1, () => forced, ["docs/**"]);
  await checkInstallation();
  expect(await skippedRows()).toEqual([]);
});

it("[WH3] the ledger keeps who saw a head first, and when the others did", async () => {
  await enableMany(1);
  await push([{ modified: ["src/a.ts"] }]);
  await github({
    do: "repositories",
    repositories: [0].map(() => ({ ...renamed, name: nameOf(0), formerly: "acme/none", branches: { main: someSha("b") } })),
  });
  passTime(5_000);
  await checkInstallation();
  const row = await env.DB.prepare("SELECT * FROM head_sightings WHERE sha = ?").bind(someSha("b")).first();
  expect(row).toMatchObject({ scope: scopeOf(0), first_by: "push", pushed_at: 1_700_000_000_000 });
  expect(Number(row?.tick_at) - Number(row?.push_at)).toBeGreaterThanOrEqual(5_000);
  expect(row?.first_at).toBe(row?.push_at);
  await github({
    do: "repositories",
    repositories: [{ ...renamed, name: nameOf(0), formerly: "acme/none", branches: { main: someSha("c") } }],
  });
  await json("POST", `/api/repositories/acme/${nameOf(0)}/image/builds`);
  const person = await env.DB.prepare("SELECT first_by FROM head_sightings WHERE sha = ?").bind(someSha("c")).first("first_by");
  expect(person).toBe("person");
  const path = `/api/repositories/acme/${nameOf(0)}/sightings`;
  const { body } = await json<SightingList>("GET", path);
  expect(body.sightings.map((one) => [one.sha, one.firstBy, one.later.map(({ by }) => by)])).toEqual([
    [someSha("c"), "person", []],
    [someSha("b"), "push", ["tick"]],
  ]);
  const [, pushed] = body.sightings;
  expect(pushed).toMatchObject({ pushedAt: 1_700_000_000_000, firstAt: row?.push_at });
  expect(pushed?.later).toEqual([{ by: "tick", at: row?.tick_at, lateMs: Number(row?.tick_at) - Number(row?.push_at) }]);
  expect((await json<SightingList>("GET", `${path}?limit=1`)).body.sightings).toHaveLength(1);
  expect((await json("GET", `${path}?limit=0`)).status).toBe(400);
  expect((await json("GET", "/api/repositories/acme/never-was/sightings")).status).toBe(404);
  passTime(91 * 86_400_000);
  // With nothing to check behind the test's end.
  await env.DB.prepare("UPDATE image_scopes SET enabled = 0").run();
  await tick(env);
  expect(await env.DB.prepare("SELECT count(*) AS n FROM head_sightings").first<number>("n")).toBe(0);
});
