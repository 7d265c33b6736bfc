/** Warm pools with everything behind them: settings, the pool's object, sessions' objects, a gateway in memory. */

import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type ImageState, type PoolView, type SessionView } from "@open-inspect/protocol";
import { expect, it, vi } from "vitest";
import { deadlines } from "../../src/domain/deadlines.ts";
import { renameRepository } from "../../src/repository-changes.ts";
import { connectRuntime, eventually, gateway, json, passTime, playWholeBuild, ring, startedSandbox } from "./harness.ts";
import {
  buildImage,
  getReady,
  hiddenSessions,
  listed,
  proveAgain,
  readPool,
  runningSandboxes,
  setPool,
  settingsPath,
  untilPool,
  untilReady,
} from "./warm-world.ts";
import { deliver } from "./webhook.ts";

const pool = () => env.POOLS.getByName("repo:acme/shop");
const start = async (body: object = {}) =>
  (await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", ...body })).body;

it("[WP1] [WP9] a session takes a member that stands ready, which is refilled, and says so in its receipt", async () => {
  const { active } = await buildImage();
  await setPool(2);
  const [first = "", second = ""] = await hiddenSessions(2);
  const runtimes = new Map([[first, await getReady(first)]]);
  await untilPool("has one ready", (now) => now.ready === 1 && now.starting === 1);
  runtimes.set(second, await getReady(second));
  await untilPool("is full", (now) => now.ready === 2);
  expect(await listed(), "members are in no list").toEqual([]);

  const session = await start({ prompt: "fix it" });
  expect(runtimes.has(session.id)).toBe(true);
  const runtime = runtimes.get(session.id);
  if (!runtime) throw new Error("no runtime");
  await proveAgain(runtime);
  const { receipt, image, title } = await untilReady(session.id);
  expect({ receipt, image, title }).toMatchObject({ receipt: { warm: "pool" }, image: { id: active?.id }, title: "fix it" });
  await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "its prompt is sent");
  expect(await listed()).toEqual([session.id]);
  await untilPool("is refilled", (now) => now.ready + now.starting === 2);
});

it("[WP2] sessions that begin together get a member each, and the others their own sandbox", async () => {
  await buildImage();
  await setPool(2);
  const members = await hiddenSessions(2);
  for (const id of members) await getReady(id);
  await untilPool("is full", (now) => now.ready === 2);
  const sessions = await Promise.all(Array.from({ length: 6 }, () => start()));
  const ids = sessions.map((one) => one.id);
  expect(new Set(ids).size).toBe(6);
  expect(members.every((id) => ids.includes(id))).toBe(true);
});

it("[WP9] a member that has ended meanwhile is no error: the session starts its own", async () => {
  await buildImage();
  await setPool(1);
  const [member = ""] = await hiddenSessions(1);
  await getReady(member);
  await untilPool("is full", (now) => now.ready === 1);
  await env.SESSIONS.getByName(member).release();
  const session = await start();
  expect(session.id).not.toBe(member);
  expect(session.cold).toBeNull();
});

it("[WP9] another branch than the default one takes no member", async () => {
  await buildImage();
  await setPool(1);
  const [member = ""] = await hiddenSessions(1);
  expect((await start({ branch: "feature" })).id).not.toBe(member);
});

it("[WP2] a member that was given away and not claimed is ended", async () => {
  await buildImage();
  await setPool(1);
  const [member = ""] = await hiddenSessions(1);
  expect(await pool().take("main")).toBe(member);
  const { sandboxId } = await startedSandbox(member);
  passTime(deadlines.poolTakenMs);
  await ring(pool());
  await eventually(async () => (await runningSandboxes()).every((one) => one.sandboxId !== sandboxId), "it is ended");
});

it("[WP3] another active image drains the pool and refills it; switched off, it is empty and says why", async () => {
  await buildImage();
  await setPool(1);
  const [old = ""] = await hiddenSessions(1);
  const { body } = await json<{ build: { id: string } }>("POST", "/api/repositories/acme/shop/image/builds");
  await playWholeBuild(await connectRuntime((await startedSandbox(body.build.id)).config), "c".repeat(40));
  const [fresh] = await eventually(async () => {
    const hidden = await hiddenSessions(1);
    return hidden[0] !== old && hidden;
  }, "another member stands there");
  const image = (await json<ImageState>("GET", "/api/repositories/acme/shop/image")).body.active;
  const { sandboxes } = await gateway({ do: "state" });
  const sourceOf = (id: string | undefined) =>
    sandboxes.find((one) => one.config?.mode === "session" && one.config.sessionId === id)?.source;
  expect(sourceOf(fresh)).not.toEqual(sourceOf(old));
  expect(image?.sha).toBe("c".repeat(40));

  await json("PUT", "/api/repositories/acme/shop/image", { enabled: false });
  await hiddenSessions(0);
  expect(await readPool()).toMatchObject({ ready: 0, starting: 0, problem: expect.stringContaining("switched off") });
});

it("[WP5] members are replaced when they have stood for long", async () => {
  await buildImage();
  await setPool(1);
  const [old] = await hiddenSessions(1);
  passTime(deadlines.poolMemberMs);
  await ring(pool());
  await eventually(async () => (await hiddenSessions(1))[0] !== old, "another one stands there");
});

it("[WP6] a member that cannot start says why on the repository's page, and is tried again after a pause", async () => {
  await buildImage();
  await gateway({ do: "fault", fault: { call: "create", kind: "permanent", code: "provider_rejected", times: 2 } });
  await setPool(1);
  const { problem } = await untilPool("says what is wrong", (now) => now.problem !== null);
  expect(problem).not.toBe("");
  passTime(deadlines.poolRetryFirstMs);
  await ring(pool());
  const [member = ""] = await hiddenSessions(1);
  await getReady(member);
  await untilPool("is full", (now) => now.ready === 1 && now.problem === null);
});

it("[WP3] a repository that was empty when the list was read has a pool all the same", async () => {
  await buildImage();
  await env.DB.prepare("UPDATE repositories SET default_branch = NULL").run();
  await setPool(1);
  await hiddenSessions(1);
});

it("[WP11] settings are kept and shown; a time zone that there is not, and a size above five, are refused", async () => {
  await json("GET", "/api/repositories");
  const change = { idleStopMinutes: 25, poolHours: [9, 8, 9], poolTimeZone: "Europe/Berlin" };
  expect((await setPool(0, change)).body.settings).toMatchObject({ ...change, poolHours: [8, 9] });
  expect((await readPool()).settings).toMatchObject({ ...change, poolHours: [8, 9], poolSize: 0 });
  expect(await setPool(1, { poolTimeZone: "Mars/Base" })).toMatchObject({ status: 400 });
  expect(await setPool(6)).toMatchObject({ status: 400 });
  const unknown = settingsPath.replace("shop", "nothing");
  expect(await json("GET", unknown)).toMatchObject({ status: 404, body: { error: { code: "repository_not_found" } } });
});

it("[WP13] a repository that is renamed takes its session settings along, and its old name keeps no sandboxes", async () => {
  await buildImage();
  await setPool(1);
  await hiddenSessions(1);
  const to = {
    owner: "acme",
    name: "store",
    defaultBranch: "main",
    private: true,
    archived: false,
    installationId: 1,
    githubId: 7,
  };
  await renameRepository(env, "repo:acme/shop", { ...to, cloneUrl: "http://github.test/acme/store.git" });
  await hiddenSessions(0);
  const { settings } = (await json<PoolView>("GET", settingsPath.replace("shop", "store"))).body;
  expect(settings.poolSize).toBe(1);
});

it("[WP3] a repository that is deleted, or that the installation lost, keeps no sandboxes", async () => {
  const owner = { login: "acme" };
  const repository = {
    id: 7,
    name: "shop",
    full_name: "acme/shop",
    owner,
    private: true,
    clone_url: "http://github.test/acme/shop.git",
  };
  const installation = { id: 1 };
  await buildImage();
  for (const [event, content] of [
    ["repository", { action: "deleted", repository, installation }],
    ["installation_repositories", { action: "removed", repositories_removed: [{ full_name: "acme/shop" }], installation }],
  ] as const) {
    await json("GET", "/api/repositories?sync=force");
    await setPool(1);
    await hiddenSessions(1);
    expect(await deliver(event, content)).toMatchObject({ accepted: true });
    await hiddenSessions(0);
    await setPool(0);
  }
});

it("[WP12] without a pool nothing is asked of one, neither by a start nor by an image", async () => {
  const asked: string[] = [];
  await runInDurableObject(pool(), (object) => {
    for (const name of ["take", "view", "imageChanged", "handedOver"] as const) {
      vi.spyOn(object, name).mockImplementation(async () => {
        asked.push(name);
        throw new Error("nobody is to ask");
      });
    }
  });
  await buildImage();
  expect((await start()).cold).toBeNull();
  await readPool();
  expect(asked).toEqual([]);
});
