/**
 * Removes what nobody needs any more: sandboxes without an owner, images whose deletion was lost, images of repositories that are gone, rows of
 * reserved sandboxes that no session claimed, logins that are over.
 */
import { createPeople } from "../adapters/d1/people.ts";
import { createSessionList } from "../adapters/d1/session-list.ts";
import { createStrays } from "../adapters/d1/strays.ts";
import { dataPlaneOf } from "../compose.ts";
import { deadlines, limits } from "../domain/deadlines.ts";
import { type Log } from "../domain/ports.ts";
import { decideStrays } from "../domain/strays.ts";
import { type Env, readConfig } from "../env.ts";

/** Each part is tried for itself; what fails waits for the next tick. */
export async function sweep(env: Env, log: Log): Promise<void> {
  for (const part of [sweepSandboxes, sweepImages, sweepGone, sweepReserved, sweepLogins]) {
    try {
      await part(env, log);
    } catch (error) {
      log.error("sweep.failed", { part: part.name, error });
    }
  }
}

async function sweepSandboxes(env: Env, log: Log): Promise<void> {
  const dataPlane = dataPlaneOf(readConfig(env));
  const listed = await dataPlane.listSandboxes({ app: "open-inspect" });
  if (!listed.ok) {
    log.warn("sweep.unavailable", { code: listed.error.code });
    return;
  }
  const { sandboxes } = listed.value;
  const strays = createStrays(env.DB);
  const ids = sandboxes.flatMap(({ tags }) => [tags.build, tags.session]).filter((id) => id !== undefined);
  const [owners, known] = await Promise.all([strays.owners(ids), strays.known()]);
  const { remember, terminate, forget } = decideStrays(sandboxes, owners, known, Date.now());
  if (remember.length > 0) await strays.remember(remember, Date.now());
  const ended = [...forget];
  for (const sandboxId of terminate.slice(0, limits.sweptPerTick)) {
    const result = await dataPlane.terminateSandbox(sandboxId);
    if (result.ok || result.error.kind === "not_found") ended.push(sandboxId);
    log.warn("sweep.sandbox", { sandboxId, ended: result.ok });
  }
  if (ended.length > 0) await strays.forget(ended);
}

/** Deleting what is gone already succeeds, so this is safe beside an object that is about to do it. */
async function sweepImages(env: Env, log: Log): Promise<void> {
  const dataPlane = dataPlaneOf(readConfig(env));
  const strays = createStrays(env.DB);
  const now = Date.now();
  for (const { id, providerImageId } of await strays.leftImages(now - 2 * deadlines.dormantMs, now, limits.sweptPerTick)) {
    const result = await dataPlane.deleteImage(providerImageId);
    if (!result.ok && result.error.kind !== "not_found") {
      log.warn("sweep.unavailable", { code: result.error.code });
      return;
    }
    await strays.markDeleted(id, now);
    log.warn("sweep.image", { id });
  }
}

/** A repository that is gone for a day is not coming back by itself: its images go the way of any that are switched off. */
async function sweepGone(env: Env, log: Log): Promise<void> {
  for (const scope of await createStrays(env.DB).goneScopes(Date.now() - deadlines.dormantMs, limits.sweptPerTick)) {
    await env.IMAGES.getByName(scope).switchOff();
    log.info("repository.switched_off", { scope });
  }
}

/** What nobody claimed is in no list, and its object is over: only the row is left. */
async function sweepReserved(env: Env): Promise<void> {
  await createSessionList(env.DB).forgetReserved(Date.now() - deadlines.dormantMs);
}

async function sweepLogins(env: Env): Promise<void> {
  await createPeople(env.DB).prune(Date.now());
}
