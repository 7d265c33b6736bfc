/** Sessions in D1: rows for the list, and everything that the start of a session has to look up, in one round trip. */
import {
  defaultSessionSettings,
  imageScopeOf,
  type RepositoryRef,
  type SessionSettings,
  type SessionSummary,
} from "@open-inspect/protocol";
import { and, desc, eq, isNotNull, isNull, lt } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type Target } from "../../domain/image-scope-state.ts";
import { type SelectionFacts } from "../../domain/image-selection.ts";
import { type ColdHistory } from "../../domain/receipt.ts";
import { type SessionFacts } from "../../domain/session-views.ts";
import { toTarget } from "./repositories.ts";
import { builds, imageScopes, images, repositories, sessionSettings, sessions } from "./schema.ts";

/** What a session's start is decided from. */
export interface StartFacts {
  target: Target;
  /** null: it could not be read in time */
  selection: SelectionFacts | null;
  history: ColdHistory;
  settings: SessionSettings;
}

export const noHistory: ColdHistory = { measured: null, build: null };
/** a person waits: a slow database costs the image, not the session */
const lookupMs = 1_500;

export function createSessions(d1: D1Database) {
  const db = drizzle(d1);

  async function selectionOf(scope: string, runtimeFloor: number): Promise<SelectionFacts> {
    const [found] = await db
      .select({ scope: imageScopes, active: images, latest: { status: builds.status } })
      .from(imageScopes)
      .leftJoin(images, eq(images.id, imageScopes.activeImageId))
      .leftJoin(builds, eq(builds.id, imageScopes.latestBuildId))
      .where(eq(imageScopes.scope, scope));
    return {
      runtimeFloor,
      enabled: found?.scope.enabled ?? false,
      active: found?.active ?? null,
      latestBuild: found?.latest?.status ?? null,
    };
  }

  async function historyOf(scope: string): Promise<ColdHistory> {
    const [[cold], [built]] = await Promise.all([
      db
        .select({ ms: sessions.coldMs, at: sessions.readyAt })
        .from(sessions)
        .where(and(eq(sessions.scope, scope), isNotNull(sessions.coldMs), isNotNull(sessions.readyAt)))
        .orderBy(desc(sessions.readyAt))
        .limit(1),
      db
        .select({ phases: builds.phases, at: builds.finishedAt })
        .from(builds)
        .where(and(eq(builds.scope, scope), eq(builds.status, "ready")))
        .orderBy(desc(builds.requestedAt))
        .limit(1),
    ]);
    return {
      measured: cold && cold.ms !== null && cold.at !== null ? { ms: cold.ms, at: cold.at } : null,
      build: built && built.at !== null ? { phases: built.phases, at: built.at } : null,
    };
  }

  async function startFactsOf(scope: string, runtimeFloor: number): Promise<StartFacts | null> {
    const [[found], selection, history] = await Promise.all([
      db
        .select({ repository: repositories, settings: sessionSettings.settings })
        .from(repositories)
        .leftJoin(sessionSettings, eq(sessionSettings.scope, repositories.scope))
        .where(and(eq(repositories.scope, scope), isNull(repositories.goneAt))),
      orElse(selectionOf(scope, runtimeFloor), null),
      orElse(historyOf(scope), noHistory),
    ]);
    if (!found) return null;
    return { target: toTarget(found.repository), selection, history, settings: found.settings ?? defaultSessionSettings };
  }

  return {
    /**
     * null: no such repository. Only the repository itself is needed; what else cannot be read is left out.
     * @param runtimeFloor the lowest `runtimeRevision` that sessions start from
     */
    startFacts: (repository: RepositoryRef, runtimeFloor: number): Promise<StartFacts | null> =>
      startFactsOf(imageScopeOf(repository), runtimeFloor),
    startFactsOf,
    /** A write that was given up may still arrive later: what is older than the row changes nothing. */
    async save({ repository, ...summary }: SessionSummary, facts: SessionFacts): Promise<void> {
      const { owner, name } = repository;
      const row = {
        ...summary,
        ...facts,
        scope: imageScopeOf(repository),
        owner,
        name,
        authorName: summary.author?.name ?? null,
      };
      await db
        .insert(sessions)
        .values(row)
        .onConflictDoUpdate({ target: sessions.id, set: row, setWhere: lt(sessions.version, facts.version) });
    },
  };
}
/** The value, or the other one when it fails or takes too long. */
async function orElse<T, E>(work: Promise<T>, other: E): Promise<T | E> {
  const { promise: late, resolve } = Promise.withResolvers<E>();
  const timer = setTimeout(() => resolve(other), lookupMs);
  const value = await Promise.race([work.catch(() => other), late]);
  clearTimeout(timer);
  return value;
}

export type Sessions = ReturnType<typeof createSessions>;
