/** Bad input, strangers and outages at the REST API. */
import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { type ErrorBody, errorBodySchema, type Health, type RepositoryList } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import worker from "../../src/worker.ts";
import { call, gateway, github, json, origin } from "./harness.ts";

async function refusal(response: Promise<Response> | Response): Promise<{ status: number } & ErrorBody["error"]> {
  const answer = await response;
  return { status: answer.status, ...errorBodySchema.parse(await answer.json()).error };
}
const some = "bld_01k00000000000000000000000";
const session = "ses_01k00000000000000000000000";

it("[AP1] [AP2] unknown paths are 404, other methods 405 with what is allowed", async () => {
  expect(await refusal(call("GET", "/api/nope"))).toMatchObject({ status: 404, code: "not_found" });
  expect(await refusal(call("GET", "/api/sessions/x/y/z"))).toMatchObject({ status: 404, code: "not_found" });
  expect(await refusal(call("POST", "/model/v1/complete", {}))).toMatchObject({ status: 404 });
  for (const [method, path] of [
    ["DELETE", "/api/sessions"],
    ["POST", "/api/repositories"],
    ["DELETE", "/api/repositories/acme/shop/image"],
    ["GET", `/api/sessions/${session}/stop`],
    ["POST", "/api/health"],
  ] as const) {
    const response = await call(method, path);
    expect(response.headers.get("allow"), `${method} ${path}`).toBeTruthy();
    expect(await refusal(response)).toMatchObject({ status: 405, code: "method_not_allowed" });
  }
});

it("[AP2] bodies that do not fit say where", async () => {
  const wrong: [unknown, string][] = [
    ["{not json", "not JSON"],
    [[], "body"],
    [{}, "repository"],
    [{ repository: "shop" }, "repository"],
    [{ repository: { owner: "-bad-", name: "x" } }, "repository"],
    [{ repository: "acme/shop", branch: "--upload-pack=x" }, "branch"],
    [{ repository: "acme/shop", branch: "a..b" }, "branch"],
    [{ repository: "acme/shop", prompt: "   " }, "prompt"],
    [{ repository: "acme/shop", prompt: "x".repeat(100_001) }, "prompt"],
    [{ repository: "acme/shop", model: "" }, "model"],
    [{ repository: "acme/shop", colour: "red" }, "colour"],
  ];
  for (const [body, where] of wrong) {
    const found = await refusal(call("POST", "/api/sessions", body));
    expect(found, JSON.stringify(body).slice(0, 80)).toMatchObject({ status: 400, code: "invalid_request" });
    expect(found.message).toContain(where);
    expect(found.hint).not.toBe("");
  }
  expect(await refusal(call("PUT", "/api/repositories/acme/shop/image", { enabled: "yes" }))).toMatchObject({ status: 400 });
  expect(await refusal(call("GET", `/api/builds/${some}/logs?after=-1`))).toMatchObject({ status: 400 });
  expect(await refusal(call("PUT", "/api/repositories/acme/a%20b/image", { enabled: true }))).toMatchObject({ status: 400 });
  expect(await refusal(call("PUT", "/api/repositories/acme/..%2f..%2fetc/image", { enabled: true }))).toMatchObject({
    status: 400,
  });
});

it("[AP2] a body above the limit is 413, whatever it says about its length", async () => {
  const large = JSON.stringify({ repository: "acme/shop", prompt: "x".repeat(1_100_000) });
  expect(await refusal(call("PUT", "/api/repositories/acme/shop/image", large))).toMatchObject({
    status: 413,
    code: "payload_too_large",
  });
  const stream = new Blob([large]).stream();
  const chunked = exports.default.fetch(`${origin}/api/repositories/acme/shop/image`, {
    method: "PUT",
    body: stream,
    headers: { "content-type": "application/json" },
  });
  expect(await refusal(chunked)).toMatchObject({ status: 413 });
});

it("[AP2] unknown ids are 404 with their own codes", async () => {
  expect(await refusal(call("GET", `/api/builds/${some}`))).toMatchObject({ status: 404, code: "build_not_found" });
  expect(await refusal(call("GET", "/api/builds/1"))).toMatchObject({ status: 404, code: "build_not_found" });
  expect(await refusal(call("GET", `/api/builds/${some}/logs`))).toMatchObject({ status: 404, code: "build_not_found" });
  expect(await refusal(call("GET", `/api/sessions/${session}`))).toMatchObject({ status: 404, code: "session_not_found" });
  expect(await refusal(call("POST", `/api/sessions/${session}/stop`))).toMatchObject({ status: 404, code: "session_not_found" });
  expect(await refusal(call("GET", "/api/feed"))).toMatchObject({ status: 426, code: "upgrade_required" });
});

it("[AP3] only loopback names with the developer identity, and only pages of the same origin", async () => {
  const as = (url: string, headers: Record<string, string> = {}) => exports.default.fetch(url, { headers });
  for (const host of ["127.0.0.1:8787", "localhost:8787", "[::1]:8787"])
    expect((await as(`http://${host}/api/sessions`)).status).toBe(200);
  for (const host of ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"]) {
    expect(await refusal(as(`http://${host}/api/sessions`)), host).toMatchObject({ status: 401, code: "unauthorized" });
  }
  expect((await as(`${origin}/api/sessions`, { origin })).status).toBe(200);
  expect(await refusal(as(`${origin}/api/sessions`, { origin: "http://evil.example" }))).toMatchObject({
    status: 403,
    code: "forbidden",
  });
  const foreign = { origin: "http://127.0.0.1:9999", upgrade: "websocket" };
  expect(await refusal(as(`${origin}/api/feed`, foreign)), "sockets too").toMatchObject({ status: 403 });
});

it("[AP4] state changes are JSON by content type", async () => {
  const form = { "content-type": "application/x-www-form-urlencoded" };
  expect(await refusal(call("POST", "/api/sessions", '{"repository":"acme/shop"}', form))).toMatchObject({ status: 400 });
  expect(
    await refusal(call("POST", "/api/sessions", '{"repository":"acme/shop"}', { "content-type": "text/plain" })),
  ).toMatchObject({ status: 400 });
  expect((await call("POST", `/api/sessions/${session}/stop`)).status, "without a body").toBe(404);
});

it("[AP5] names are compared without regard to case, and what is unknown or empty changes nothing", async () => {
  await json("PUT", "/api/repositories/ACME/shop/image", { enabled: true });
  const { body } = await json<{ enabled: boolean }>("GET", "/api/repositories/acme/SHOP/image");
  expect(body.enabled).toBe(true);
  expect(await refusal(call("PUT", "/api/repositories/acme/nope/image", { enabled: true }))).toMatchObject({
    status: 404,
    code: "repository_not_found",
  });
  expect(await refusal(call("PUT", "/api/repositories/acme/empty/image", { enabled: true }))).toMatchObject({
    status: 409,
    code: "repository_empty",
  });
  expect(await refusal(call("POST", "/api/sessions", { repository: "acme/empty" }))).toMatchObject({
    status: 409,
    code: "repository_empty",
  });
  expect(await refusal(call("POST", "/api/sessions", { repository: "acme/nope" }))).toMatchObject({
    status: 404,
    code: "repository_not_found",
  });
  expect(await refusal(call("POST", "/api/repositories/acme/empty/image/builds"))).toMatchObject({
    status: 409,
    code: "image_disabled",
  });
  const { results } = await env.DB.prepare("SELECT scope FROM image_scopes").all();
  expect(results).toEqual([{ scope: "repo:acme/shop" }]);
});

it("[AP6] the list is GitHub's, keeps settings of what is gone, and survives GitHub's outage", async () => {
  const names = async (query = "") =>
    (await json<RepositoryList>("GET", `/api/repositories${query}`)).body.repositories.map((one) => one.name);
  expect(await names()).toEqual(["empty", "Shop"]);
  const { repositories } = (await json<RepositoryList>("GET", "/api/repositories")).body;
  expect(repositories.find((one) => one.name === "empty")?.defaultBranch).toBeNull();
  expect(repositories.find((one) => one.name === "Shop")).toMatchObject({
    owner: "Acme",
    defaultBranch: "main",
    image: { status: "disabled" },
  });
  await github({ do: "down", status: 502 });
  expect(await names("?sync=force")).toEqual(["empty", "Shop"]);
  await github({ do: "down", status: null });
  await github({ do: "repositories", repositories: [] });
  expect(await names("?sync=force")).toEqual([]);
});

it("[AP6] all pages of all repositories are listed", async () => {
  const many = Array.from({ length: 250 }, (_, index) => ({
    owner: "acme",
    name: `r${String(index).padStart(3, "0")}`,
    defaultBranch: "main",
    branches: { main: "a".repeat(40) },
  }));
  await github({ do: "repositories", repositories: many });
  const { body } = await json<RepositoryList>("GET", "/api/repositories");
  expect(body.repositories).toHaveLength(250);
});

it("[AP5] branches come with the default one first", async () => {
  const { body } = await json<{ branches: { name: string }[] }>("GET", "/api/repositories/acme/shop/branches");
  expect(body.branches.map((one) => one.name)).toEqual(["main", "feature"]);
  await github({ do: "down", status: 500 });
  expect(await refusal(call("GET", "/api/repositories/acme/shop/branches"))).toMatchObject({
    status: 502,
    code: "github_unavailable",
  });
});

it("[AP7] every answer carries the security headers", async () => {
  for (const path of ["/api/health", "/api/nope", "/api/sessions"]) {
    const { headers } = await call("GET", path);
    expect(headers.get("content-security-policy"), path).toContain("frame-ancestors 'none'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("cache-control")).toBe("no-store");
  }
});

it("[AP1] a Worker without its settings says which ones, and no value", async () => {
  const bare = { ...env, GATEWAY_URL: "", GITHUB_APP_PRIVATE_KEY: "a secret that is no key" };
  const response = await worker.fetch(new Request(`${origin}/api/sessions`), bare, createExecutionContext());
  const found = await refusal(response);
  expect(found).toMatchObject({ status: 500, code: "internal" });
  expect(found.message).toMatch(/GATEWAY_URL.*GITHUB_APP_PRIVATE_KEY/);
  expect(found.message).not.toContain("a secret");
});

it("[AP9] health names what fails", async () => {
  await gateway({ do: "state" });
  const well = await json<Health>("GET", "/api/health");
  expect(well.body).toMatchObject({
    status: "ok",
    checks: { database: "ok", gateway: "ok", github: "ok" },
    runtimeVersion: "runtime-1",
  });
});
