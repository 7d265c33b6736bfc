/** What a commit of an image scope owes to the lists and to the dashboard: rows to write and a push to send. Pure. */
import { type BuildView, type ImageSettings, imageScopeOf } from "@open-inspect/protocol";
import { type ImageEffect } from "./image-messages.ts";
import { type FailureSeries, type ScopeState } from "./image-scope-state.ts";
import { droppedView, liveView, queuedView, recordView } from "./image-views.ts";
import { noticeOf } from "./notifications.ts";

export interface ScopeRow {
  enabled: boolean;
  latestBuildId: string | null;
  settings: ImageSettings | null;
  failing: FailureSeries | null;
}

export type ImageRecord =
  | { type: "record.scope"; row: ScopeRow }
  | { type: "record.build"; build: BuildView }
  /** the repository as the database has it then */
  | { type: "publish" }
  /** what stands ready may be of another image than the active one */
  | { type: "pool.tell"; scope: string };

type Telling = Extract<ImageEffect, { type: "notify" }>;

export function deriveImageRecords(before: ScopeState, after: ScopeState): (ImageRecord | Telling)[] {
  if (before === after) return [];
  const records: (ImageRecord | Telling)[] = [];
  const { target, live, next, last, dropped } = after;
  if (differs(scopeRow(before), scopeRow(after))) records.push({ type: "record.scope", row: scopeRow(after) });
  if (target && live !== before.live && live) {
    const view = liveView(live, target);
    if (before.live?.id !== live.id || differs(liveView(before.live, target), view))
      records.push({ type: "record.build", build: view });
  }
  if (target && next !== before.next && next) records.push({ type: "record.build", build: queuedView(next, target) });
  if (target && last !== before.last && last) records.push({ type: "record.build", build: recordView(last, target) });
  if (target && dropped !== before.dropped && dropped)
    records.push({ type: "record.build", build: droppedView(dropped, target) });
  const isSeen = records.length > 0 || seenFields.some((field) => before[field] !== after[field]);
  if (target && isSeen) records.push({ type: "publish" });
  const isOther = before.activeId !== after.activeId || before.enabled !== after.enabled;
  if (target && isOther) records.push({ type: "pool.tell", scope: imageScopeOf(target) });
  const notice = noticeOf(before, after);
  if (notice) records.push({ type: "notify", notice });
  return records;
}

/** What the repository's view shows besides its builds. */
const seenFields = ["target", "images", "activeId", "pin"] as const;

function scopeRow(state: ScopeState): ScopeRow {
  const { enabled, settings, failing, target, live, next, last } = state;
  return { enabled, latestBuildId: target ? ((live ?? next ?? last)?.id ?? null) : null, settings, failing };
}

/** Most fields are the very same: only the others are compared by what is in them. */
function differs<T extends object>(a: T, b: T): boolean {
  for (const key in b) if (a[key] !== b[key] && JSON.stringify(a[key]) !== JSON.stringify(b[key])) return true;
  return false;
}
