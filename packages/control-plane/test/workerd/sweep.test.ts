/** What each tick clears away after crashes, and what it leaves alone. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { createLog } from "../../src/adapters/log.ts";
import { sweep } from "../../src/scheduler/sweep.ts";
import { eventually, gateway, json, passTime, startedSandbox } from "./harness.ts";
import { enableMany, nameOf, scopeOf } from "./tick-world.ts";

const day = 86_400_000;
/** The part of a tick that clears away; the check of heads would go on behind the test. */
const tick = () => sweep(env, createLog({ part: "test" }));
const running = async (): Promise<string[]> =>
  (await gateway({ do: "state" })).sandboxes.filter((one) => one.status.status === "running").map((one) => one.sandboxId);

it("[TK15] a sandbox without an owner is ended when it is seen again after a grace time; one that has an owner is not", async () => {
  const { body } = await json<{ latestBuild: { id: string } }>("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  const { sandboxId } = await startedSandbox(body.latestBuild.id);
  await tick();
  passTime(11 * 60_000);
  await tick();
  expect(await running()).toContain(sandboxId);
  // Its build is over as far as anybody remembers, and the sandbox was forgotten.
  await env.DB.prepare("UPDATE builds SET finished_at = 1").run();
  await tick();
  expect(await running(), "the first time it is only written down").toContain(sandboxId);
  passTime(5 * 60_000);
  await tick();
  expect(await running(), "within the grace time").toContain(sandboxId);
  passTime(6 * 60_000);
  await tick();
  expect(await running()).not.toContain(sandboxId);
  await tick();
  expect(await env.DB.prepare("SELECT count(*) AS n FROM strays").first<number>("n")).toBe(0);
});

it("[TK15] images that nobody can use are deleted again until it is written down; kept, active and used ones are not", async () => {
  await enableMany(4);
  const past = Date.now() - 3 * day;
  // 0: left behind by a scope that is off. 1: past its end, but active. 2: past its end, a session runs. 3: retired, and its scope is on.
  await env.DB.batch([
    env.DB.prepare("UPDATE image_scopes SET enabled = 0, active_image_id = NULL WHERE scope = ?").bind(scopeOf(0)),
    env.DB.prepare("UPDATE images SET retired_at = ? WHERE scope IN (?, ?)").bind(past, scopeOf(0), scopeOf(3)),
    env.DB.prepare("UPDATE images SET expires_at = ? WHERE scope IN (?, ?)").bind(past, scopeOf(1), scopeOf(2)),
    env.DB.prepare("UPDATE image_scopes SET active_image_id = NULL WHERE scope IN (?, ?)").bind(scopeOf(2), scopeOf(3)),
    env.DB.prepare(
      `INSERT INTO sessions (id, scope, owner, name, branch, status, created_at, title, image_id)
       VALUES ('s', ?1, 'acme', 'x', 'main', 'ready', 1, 't', ?2)`,
    ).bind(scopeOf(2), `image-${nameOf(2)}`),
  ]);
  await gateway({ do: "fault", fault: { call: "deleteImage", kind: "transient", times: 1 } });
  await tick();
  expect((await gateway({ do: "state" })).deletedImages).toEqual([]);
  await tick();
  expect((await gateway({ do: "state" })).deletedImages).toEqual([`im-${nameOf(0)}`]);
  await tick();
  expect((await gateway({ do: "state" })).deletedImages).toHaveLength(1);
});

it("[TK15] a repository that is gone for a day is switched off", async () => {
  await json("PUT", "/api/repositories/acme/shop/image", { enabled: true });
  const enabled = () =>
    env.DB.prepare("SELECT enabled FROM image_scopes WHERE scope = 'repo:acme/shop'").first<number>("enabled");
  await env.DB.prepare("UPDATE repositories SET gone_at = ? WHERE scope = 'repo:acme/shop'").bind(Date.now()).run();
  passTime(day / 2);
  await tick();
  expect(await enabled()).toBe(1);
  passTime(day / 2 + 60_000);
  await tick();
  await eventually(async () => (await enabled()) === 0, "its images are switched off");
});
