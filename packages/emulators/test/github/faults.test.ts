import { join } from "node:path";
import { expect, test } from "vitest";
import { failureOf, git, person, startWorld, temporaryFolder } from "./support.ts";

const begin = { message: "Begin", files: { a: "1" } };

test("REST and GraphQL fail as told, as often as told", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const client = world.withToken(person.token);
  await world.admin("POST", "/faults", { match: "rest:/repos/acme", kind: "status", code: 503, times: 2 });
  expect((await client.request("GET /rate_limit")).status).toBe(200);
  expect((await failureOf(client.request("GET /repos/acme/sample"))).status).toBe(503);
  expect((await failureOf(client.request("GET /repos/acme/sample"))).status).toBe(503);
  expect((await client.request("GET /repos/acme/sample")).status).toBe(200);

  await world.admin("POST", "/faults", { match: "graphql", kind: "status", code: 403, headers: { "retry-after": "1" } });
  expect((await failureOf(client.graphql("{ rateLimit { limit } }"))).status).toBe(403);
  await world.admin("POST", "/faults", { match: "graphql", kind: "cut" });
  await expect(client.graphql("{ rateLimit { limit } }")).rejects.toThrow();
  expect(await client.graphql("{ rateLimit { limit } }")).toEqual({ rateLimit: { limit: 5000 } });

  await world.admin("POST", "/faults", { match: "rest", kind: "latency", latencyMs: 200 });
  const startedAt = Date.now();
  await client.request("GET /rate_limit");
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(195);
});

test("what hangs never answers, until it is let go", async () => {
  const world = await startWorld();
  await world.admin("POST", "/faults", { match: "rest:/rate_limit", kind: "hang", times: 2 });
  const impatient = fetch(`${world.github.url}/rate_limit`, { signal: AbortSignal.timeout(150) });
  await expect(impatient).rejects.toThrow(/timeout/);
  const patient = fetch(`${world.github.url}/rate_limit`);
  await expect.poll(async () => (await world.admin("GET", "/requests")).json()).toMatchObject({ "fault:hang": 2 });
  expect((await world.admin("DELETE", "/faults")).status).toBe(204);
  await expect(patient).rejects.toThrow();
  expect((await fetch(`${world.github.url}/rate_limit`)).status).toBe(200);
});

test("a clone fails on a server error, on a cut pack and on a cut listing, and works again after it", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.addRepository({ owner: "acme", name: "other", empty: true });
  await world.github.commit("acme", "sample", begin);
  const folder = await temporaryFolder();
  const faults = [
    { match: "git-upload-pack", kind: "status", code: 500 },
    { match: "git-upload-pack:rpc", kind: "cut", afterBytes: 20, times: 2 },
    { match: "git-upload-pack:advertisement", kind: "cut", repository: "ACME/sample" },
  ];
  for (const [index, fault] of faults.entries()) {
    expect((await world.admin("POST", "/faults", fault)).status).toBe(201);
    await expect(git(folder, "clone", "-q", cloneUrl, `failing-${index}`)).rejects.toThrow();
    await world.admin("DELETE", "/faults", { match: fault.match });
  }
  await world.admin("POST", "/faults", { match: "git-upload-pack", kind: "status", repository: "acme/other" });
  await git(folder, "clone", "-q", cloneUrl, "good");
  expect(await git(join(folder, "good"), "log", "--format=%s")).toBe("Begin");
});

test("requests are counted by kind", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", begin);
  await git(await temporaryFolder(), "clone", "-q", cloneUrl, "clone");
  await world.withToken(person.token).graphql("{ rateLimit { limit } }");
  const first = await fetch(`${world.github.url}/repos/acme/sample`);
  await fetch(`${world.github.url}/repos/acme/sample`, { headers: { "if-none-match": first.headers.get("etag") ?? "" } });
  const counts = await (await world.admin("GET", "/requests")).json();
  expect(counts).toEqual({ "git-upload-pack": 3, graphql: 1, rest: 2, "rest:304": 1 });
  await world.admin("DELETE", "/requests");
  expect(await (await world.admin("GET", "/requests")).json()).toEqual({});
});

test("the emulator's own routes are for whoever has its token, and for no web page", async () => {
  const world = await startWorld({ adminToken: "sesame" });
  const body = { owner: "acme", name: "sample", empty: true };
  const token = { "x-emulator-token": "sesame" };
  expect((await world.admin("POST", "/repositories", body)).status).toBe(401);
  expect((await world.admin("POST", "/repositories", body, { "x-emulator-token": "wrong" })).status).toBe(401);
  expect((await world.admin("GET", "/requests")).status).toBe(401);
  expect((await world.admin("POST", "/repositories", body, { ...token, origin: "https://evil.example" })).status).toBe(403);
  expect((await world.admin("POST", "/repositories", body, { ...token, "content-type": "text/plain" })).status).toBe(400);
  const added = await world.admin("POST", "/repositories", body, token);
  expect(added.status).toBe(201);
  expect(await added.json()).toMatchObject({ name: "sample", cloneUrl: `${world.github.url}/acme/sample.git`, sha: null });
  const local = await world.admin("POST", "/repositories", { owner: "a", name: "b", fromPath: "/nowhere" }, token);
  expect([local.status, await local.json()]).toEqual([400, { message: "/nowhere is not a directory." }]);
  expect((await world.admin("POST", "/faults", { match: "everything", kind: "hang" }, token)).status).toBe(400);
});

test("without an admin token nobody can have a local folder published", async () => {
  const world = await startWorld();
  for (const from of [{ fromPath: "/etc" }, { fromTree: "/etc" }]) {
    expect((await world.admin("POST", "/repositories", { owner: "acme", name: "etc", ...from })).status).toBe(403);
  }
});
