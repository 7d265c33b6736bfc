/** The document at /api/openapi.json and the Worker speak of the same routes and the same answers. */
import { apiRoutes, type ErrorCode, errorBodySchema, errorStatuses, errorsOf, type ImageState } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import docs from "../../../../docs/api.md?raw";
import { app } from "../../src/http/app.ts";
import { call, connectRuntime, eventually, json, playWholeBuild, startedSandbox } from "./harness.ts";

const someBuild = "bld_01k00000000000000000000000";

/** The answer of a route, which has to be the one that the table promises, without a field that is not described. */
async function answer(operationId: string, params: Record<string, string> = {}, body?: unknown): Promise<unknown> {
  const route = apiRoutes.find((one) => one.operationId === operationId);
  if (route?.answer.kind !== "json") throw new Error(`no such route: ${operationId}`);
  const { schema, status } = route.answer;
  const rest = { ...params };
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = rest[name] ?? "";
    delete rest[name];
    return value;
  });
  const response = await call(route.method.toUpperCase(), `${path}?${new URLSearchParams(rest)}`, body);
  const found = await response.json();
  expect({ operationId, status: response.status, found }).toMatchObject({ status });
  expect(schema.parse(found), operationId).toEqual(found);
  return found;
}

/** The code of a refusal, which has to be one that the table promises. */
async function refusal(operationId: string, path: string, body?: unknown): Promise<ErrorCode> {
  const route = apiRoutes.find((one) => one.operationId === operationId);
  if (!route) throw new Error(`no such route: ${operationId}`);
  const response = await call(route.method.toUpperCase(), path, body);
  const { code } = errorBodySchema.parse(await response.json()).error;
  expect(response.status).toBe(errorStatuses[code]);
  expect(errorsOf(route), operationId).toContain(code);
  return code;
}

it("[AP13] every route of the Worker is in the document, and every described one is a route", async () => {
  const served = app.routes
    .filter(({ method, path }) => method !== "ALL" && path.startsWith("/api/"))
    .map(({ method, path }) => `${method} ${path.replace(/\/$/, "").replaceAll(/:(\w+)/g, "{$1}")}`);
  const described = apiRoutes.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect(new Set(served)).toEqual(new Set(described));
  const response = await call("GET", "/api/openapi.json");
  const { paths, openapi, servers } = (await response.json()) as { paths: object; openapi: string; servers: object[] };
  expect(openapi).toMatch(/^3\.1\./);
  expect(servers).toEqual([{ url: "http://127.0.0.1:8787" }]);
  expect(Object.keys(paths).sort()).toEqual([...new Set(apiRoutes.map(({ path }) => path as string))].sort());
});

it("[AP13] docs/api.md lists every route", () => {
  const listed = [...docs.matchAll(/`(GET|PUT|POST|PATCH|DELETE) (\/api\/[^`?\s]*)/g)].map(
    ([, method, path]) => `${method} ${path}`,
  );
  expect(new Set(listed)).toEqual(new Set(apiRoutes.map(({ method, path }) => `${method.toUpperCase()} ${path}`)));
});

it("[AP13] answers are what the document says, without fields that it does not know", async () => {
  const shop = { owner: "acme", name: "shop" };
  await answer("readHealth");
  await answer("listRepositories", { sync: "force" });
  await answer("listBranches", shop);
  const { latestBuild } = (await answer("switchImage", shop, { enabled: true })) as ImageState;
  const id = latestBuild?.id ?? "";
  await playWholeBuild(await connectRuntime((await startedSandbox(id)).config));
  await eventually(async () => (await json<ImageState>("GET", "/api/repositories/acme/shop/image")).body.active, "an image");
  const { active } = (await answer("readImageState", shop)) as ImageState;
  await answer("changeImageSettings", shop, { limitMinutes: 20, keptImages: 2, rebuildMode: "auto" });
  await answer("readBuild", { id });
  await answer("readBuildLog", { id, after: "1" });
  await answer("listBuilds", { repository: "acme/shop", limit: "1" });
  await answer("listImages", { repository: "acme/shop" });
  await answer("activateImage", { id: active?.id ?? "" }, { reason: "it is good" });
  await answer("unpinImage", shop);
  const { build } = (await answer("refreshImage", shop)) as { build: { id: string } };
  await answer("cancelBuild", { id: build.id });
  const session = (await answer("startSession", {}, { repository: "acme/shop", prompt: "go" })) as { id: string };
  await answer("listSessions");
  await answer("readSession", { id: session.id });
  await answer("stopSession", { id: session.id });
  await answer("readInsights", { repository: "acme/shop", days: "3" });
  const hook = { format: "json", url: "http://hooks.test/x", secret: "a-secret-of-the-receiver" };
  await answer("putNotificationTarget", { name: "ops" }, hook);
  await answer("testNotificationTarget", { name: "ops" });
  await answer("listNotificationTargets");
  await answer("deleteNotificationTarget", { name: "ops" });
});

it("[AP13] refusals are what the document says", async () => {
  expect(await refusal("readImageState", "/api/repositories/acme/none/image")).toBe("repository_not_found");
  expect(await refusal("switchImage", "/api/repositories/acme/shop/image", { enabled: 1 })).toBe("invalid_request");
  expect(await refusal("refreshImage", "/api/repositories/acme/shop/image/builds")).toBe("image_disabled");
  expect(await refusal("readBuild", `/api/builds/${someBuild}`)).toBe("build_not_found");
  expect(await refusal("listBuilds", "/api/builds?repository=acme/shop&limit=0")).toBe("invalid_request");
  expect(await refusal("watchFeed", "/api/feed")).toBe("upgrade_required");
  expect(await refusal("startSession", "/api/sessions", { repository: "acme/shop", model: "m" })).toBe("model_not_allowed");
  expect(await refusal("receiveGitHubWebhook", "/api/webhooks/github", {})).toBe("signature_invalid");
});
