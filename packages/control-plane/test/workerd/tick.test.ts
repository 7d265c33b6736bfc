/** The tick and the webhook: what makes builds without a person. */
import { createScheduledController } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { type BuildView, type ImageState, type SightingList } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import worker from "../../src/worker.ts";
import { type FakeRepository } from "../fakes/github.ts";
import { call, connectRuntime, eventually, github, json, origin, playWholeBuild, someSha, startedSandbox } from "./harness.ts";
import { checkInstallation, enableMany } from "./tick-world.ts";

const imagePath = "/api/repositories/acme/shop/image";
const image = async (): Promise<ImageState> => (await json<ImageState>("GET", imagePath)).body;
const repository = (sha: string, branch = "main", more: Partial<FakeRepository> = {}): FakeRepository => ({
  owner: "Acme",
  name: "Shop",
  defaultBranch: branch,
  branches: { [branch]: sha },
  ...more,
});

async function buildImage(): Promise<void> {
  const { body } = await json<ImageState>("PUT", imagePath, { enabled: true });
  await playWholeBuild(await connectRuntime((await startedSandbox(body.latestBuild?.id ?? "")).config));
  await eventually(async () => (await image()).status === "ready", "the image is ready");
}

/** The Cron Trigger, and the queue's delivery of what it sent. */
async function tick(): Promise<ImageState> {
  const before = (await image()).lastCheck?.at ?? 0;
  await worker.scheduled(createScheduledController(), env);
  return eventually(async () => {
    const state = await image();
    return (state.lastCheck?.at ?? 0) > before ? state : null;
  }, "the head is checked");
}

it("[TK1] [TK5] unchanged is skipped, moved is rebuilt, running is left alone, failed is tried again", async () => {
  await buildImage();
  const same = await tick();
  expect(same).toMatchObject({ status: "ready", lastCheck: { outcome: "unchanged", sha: someSha("a") } });
  await github({ do: "repositories", repositories: [repository(someSha("d"))] });
  const moved = await tick();
  expect(moved).toMatchObject({
    status: "building",
    lastCheck: { outcome: "moved", sha: someSha("d") },
    latestBuild: { trigger: "schedule" },
  });
  expect((await tick()).lastCheck?.outcome).toBe("building");
  const runtime = await connectRuntime((await startedSandbox(moved.latestBuild?.id ?? "")).config);
  const failure = { code: "clone_failed", message: "m", hint: "h", phase: "clone", lines: [], exitCode: 128 } as const;
  runtime.event({ type: "failed", failure: { ...failure, lines: [] } });
  await eventually(async () => (await image()).status === "failed", "the build fails");
  const retried = await tick();
  expect(retried).toMatchObject({ status: "building", lastCheck: { outcome: "retried" } });
  expect(retried.active?.sha, "the last good image serves").toBe(someSha("a"));
});

it("[TK3] when GitHub does not answer the check says so and nothing else changes", async () => {
  await buildImage();
  await github({ do: "down", status: 503 });
  expect(await tick()).toMatchObject({ status: "ready", lastCheck: { outcome: "unavailable", sha: null } });
});

it("[TK2] heads are one request per installation and hundred repositories, and each message is acknowledged", async () => {
  await enableMany(250);
  const { calls } = await checkInstallation();
  expect(calls.filter((one) => one === "POST /graphql")).toHaveLength(3);
  // At most a token besides.
  expect(calls.length).toBeLessThanOrEqual(4);
});

async function signature(body: string, secret = "a-webhook-secret-of-the-tests"): Promise<string> {
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(body)));
  return `sha256=${Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

async function push(
  more: { ref?: string; after?: string; id?: string; event?: string; secret?: string; deleted?: boolean } = {},
) {
  const { ref = "refs/heads/main", after = someSha("e"), id = "delivery-1", event = "push", secret, deleted = false } = more;
  const body = JSON.stringify({
    ref,
    after,
    deleted,
    head_commit: { id: after, message: "Say more\n\nMuch more.", author: { name: "Grace Hopper", username: "grace" } },
    repository: { name: "Shop", owner: { login: "Acme" }, default_branch: "main" },
  });
  const response = await exports.default.fetch(`${origin.replace("127.0.0.1", "public.example")}/api/webhooks/github`, {
    method: "POST",
    body,
    headers: {
      "content-type": "application/json",
      "x-github-event": event,
      "x-github-delivery": id,
      "x-hub-signature-256": await signature(body, secret),
    },
  });
  return {
    status: response.status,
    body: await response.json<{ accepted: boolean; reason: string; error?: { code: string } }>(),
  };
}

it("[WH1] a genuine push to the default branch builds at once; anything else is acknowledged and ignored, or refused", async () => {
  await buildImage();
  expect(await push({ secret: "another secret of sixteen" })).toMatchObject({
    status: 401,
    body: { error: { code: "signature_invalid" } },
  });
  expect((await call("POST", "/api/webhooks/github", {})).status).toBe(401);
  expect((await push({ event: "ping" })).body.accepted).toBe(false);
  expect((await push({ ref: "refs/heads/feature" })).body.accepted).toBe(false);
  expect((await push({ after: "0".repeat(40), deleted: true })).body.accepted).toBe(false);
  expect((await image()).status).toBe("ready");
  expect(await push()).toMatchObject({ status: 202, body: { accepted: true } });
  expect(await image()).toMatchObject({ status: "building", latestBuild: { trigger: "push" } satisfies Partial<BuildView> });
});

it("[WH2] a delivery counts once", async () => {
  await buildImage();
  expect((await push()).body.accepted).toBe(true);
  expect((await push()).body).toMatchObject({ accepted: false, reason: expect.stringContaining("before") });
});

it("[WH4] a push's build asks for its sandbox at once, counted from the push's arrival in the ledger", async () => {
  await buildImage();
  await push();
  const asked = await eventually(
    async () => (await image()).latestBuild?.phases.find(({ phase }) => phase === "sandbox"),
    "asked for",
  );
  const { body } = await json<SightingList>("GET", "/api/repositories/acme/shop/sightings");
  const [seen] = body.sightings;
  expect(seen).toMatchObject({ firstBy: "push" });
  const waitedMs = asked.startedAt - (seen?.firstAt ?? Number.NaN);
  expect(waitedMs).toBeGreaterThanOrEqual(0);
  expect(waitedMs).toBeLessThanOrEqual(2_000);
});

it("[WH3] a push tells the ledger who wrote its head", async () => {
  await buildImage();
  await push();
  const told = await env.DB.prepare("SELECT commit_info FROM head_sightings WHERE sha = ?")
    .bind(someSha("e"))
    .first("commit_info");
  expect(JSON.parse(String(told))).toEqual({ author: "Grace Hopper", login: "grace", headline: "Say more" });
});
