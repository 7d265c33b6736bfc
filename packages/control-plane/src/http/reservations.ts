/** `/api/sessions/reserve`: a sandbox for whoever is typing, and giving it back. Also how a start takes a reserved or pooled sandbox instead of its own. */
import {
  imageScopeOf,
  type Reservation,
  type ReservationReleased,
  reserveSessionRequestSchema,
  sessionIdSchema,
} from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { createReservations } from "../adapters/d1/reservations.ts";
import { type StartFacts } from "../adapters/d1/sessions.ts";
import { createLog } from "../adapters/log.ts";
import { deadlines } from "../domain/deadlines.ts";
import { type SessionClaim } from "../domain/session-messages.ts";
import { newId } from "../objects/ids.ts";
import { type Begun, type FirstPrompt, type ReservedFor } from "../objects/session-object.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { branchOf, orderOf, readStart } from "./session-start.ts";
import { parse, readJson } from "./validation.ts";

const log = createLog({ part: "reservations" });

/** The oldest member of the repository's pool, kept for whoever types; null: there is none. */
async function reserveFromPool(
  c: Context<App>,
  { settings, target }: StartFacts,
  fit: ReservedFor & { branch: string },
  until: number,
): Promise<{ id: string; isReady: boolean } | null> {
  if (settings.poolSize === 0 || fit.branch !== target.branch) return null;
  const pool = c.env.POOLS.getByName(fit.scope);
  const id = await pool.take(fit.branch);
  if (id === null) return null;
  const kept = await c.env.SESSIONS.getByName(id).keep(until, fit);
  if (!kept) return null;
  await pool.handedOver(id);
  return { id, ...kept };
}

/** What is reserved ends, and makes room; a session that took it goes on. */
async function release(c: Context<App>, id: string): Promise<boolean> {
  const [released] = await Promise.all([c.env.SESSIONS.getByName(id).release(), createReservations(c.env.DB).forget(id)]);
  return released;
}

export const reservations = new Hono<App>();

reservations.post("/reserve", async (c) => {
  const now = Date.now();
  const { repository, branch: wanted, reservation } = await readJson(c, reserveSessionRequestSchema);
  const scope = imageScopeOf(repository);
  const expiresAt = now + deadlines.reservationMs;
  const rows = createReservations(c.env.DB);
  const answer = (id: string, isReady: boolean) => c.json({ reservation: id, expiresAt, isReady } satisfies Reservation, 202);

  if (reservation !== undefined) {
    const object = c.env.SESSIONS.getByName(reservation);
    const kept = await object.keep(expiresAt, { scope, branch: wanted ?? null });
    if (kept) {
      c.executionCtx.waitUntil(rows.keep(reservation, expiresAt));
      return answer(reservation, kept.isReady);
    }
    // It was for something else, or is over.
    await release(c, reservation);
  }

  const facts = await readStart(c, repository);
  const branch = await branchOf(c, facts, wanted);
  const id = newId("session", now);
  if (!(await rows.admit({ id, person: c.var.person, expiresAt }, now))) {
    throw new ApiError(
      "rate_limited",
      "There are as many reserved sandboxes as there may be.",
      "The session starts without one; a reserved sandbox that nobody uses is gone within two minutes.",
    );
  }
  const pooled = await reserveFromPool(c, facts, { scope, branch }, expiresAt);
  if (pooled) {
    await rows.rename(id, pooled.id);
    return answer(pooled.id, pooled.isReady);
  }
  const order = orderOf(c, facts, { id, branch, wanted, acceptedAt: now, model: null, title: "", author: null });
  await c.env.SESSIONS.getByName(id).create({ ...order, reserved: { kind: "typing", until: expiresAt } }, null);
  return answer(id, false);
});

reservations.delete("/reserve/:id", async (c) => {
  const id = parse(sessionIdSchema, c.req.param("id"), "reservation");
  return c.json({ released: await release(c, id) } satisfies ReservationReleased);
});

/**
 * A sandbox that is there already becomes the session: the one that was reserved while its prompt was typed, else one of the repository's
 * pool. null: there is none, or somebody was faster; then the session starts its own.
 */
export async function claimWarm(
  c: Context<App>,
  { target, settings }: StartFacts,
  wanted: { reservation: string | undefined; claim: SessionClaim; prompt: FirstPrompt | null },
): Promise<Begun | null> {
  const { reservation, claim, prompt } = wanted;
  const fit = { scope: imageScopeOf(target), branch: claim.branch };
  /** Asked again under the same name when the answer was lost: it is told the same. */
  const take = async (id: string): Promise<Begun | null> => {
    const object = () => c.env.SESSIONS.getByName(id).claim(claim, fit, prompt);
    return object().catch(object);
  };
  try {
    if (reservation !== undefined) {
      c.executionCtx.waitUntil(createReservations(c.env.DB).forget(reservation));
      const begun = await take(reservation);
      if (begun) return begun;
    }
    if (settings.poolSize === 0 || claim.branch !== target.branch) return null;
    const pool = c.env.POOLS.getByName(fit.scope);
    const id = await pool.take(claim.branch);
    const begun = id === null ? null : await take(id);
    if (begun && id !== null) c.executionCtx.waitUntil(pool.handedOver(id));
    return begun;
  } catch (error) {
    // A head start is worth no error.
    log.warn("claim.failed", { error });
    return null;
  }
}
