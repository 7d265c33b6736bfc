/** What a commit of an image scope owes to the lists and to the dashboard: rows to write and a push to send. Pure. */
import { type BuildView, type HeadCheck, type RepositoryView } from "@open-inspect/protocol";
import { buildViews, queuedView, repositoryViewOf, type ScopeState } from "./image-scope-state.ts";

export interface ScopeRow {
  enabled: boolean;
  latestBuildId: string | null;
  lastCheck: HeadCheck | null;
}

export type ImageRecord =
  | { type: "record.scope"; row: ScopeRow }
  | { type: "record.build"; build: BuildView }
  | { type: "publish"; repository: RepositoryView };

export function deriveImageRecords(before: ScopeState, after: ScopeState, now: number): ImageRecord[] {
  if (before === after) return [];
  const records: ImageRecord[] = [];
  if (differs(scopeRow(before), scopeRow(after))) records.push({ type: "record.scope", row: scopeRow(after) });
  const known = new Map(buildViews(before).map((build) => [build.id, build]));
  const builds = buildViews(after);
  for (const build of builds) if (differs(known.get(build.id), build)) records.push({ type: "record.build", build });
  const { next, target } = before;
  if (next && target && !builds.some((build) => build.id === next.id)) {
    records.push({ type: "record.build", build: { ...queuedView(next, target), status: "cancelled", finishedAt: now } });
  }
  const repository = repositoryViewOf(after);
  if (repository && differs(repositoryViewOf(before), repository)) records.push({ type: "publish", repository });
  return records;
}

function scopeRow(state: ScopeState): ScopeRow {
  return { enabled: state.enabled, latestBuildId: buildViews(state)[0]?.id ?? null, lastCheck: state.lastCheck };
}

const differs = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
