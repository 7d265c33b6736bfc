/** Writes comparisons that need no object: what was seen last, and the rows of the history. */
import { type HeadCheckOutcome } from "@open-inspect/protocol";
import { createHeadChecks, type HeadCheckRow } from "../adapters/d1/head-checks.ts";
import { createSkippedChecks, type NewSkip } from "../adapters/d1/skipped-checks.ts";
import { type TickRow } from "../adapters/d1/tick-rows.ts";
import { type Head } from "../domain/image-messages.ts";
import { planSkip } from "../domain/tick-plan.ts";
import { type Env } from "../env.ts";
import { newId } from "../objects/ids.ts";

export interface RecordedCheck {
  row: TickRow;
  head: Head | null;
  outcome: HeadCheckOutcome;
}

/** @param tickAt a message that comes twice counts once: when the tick began that it is of */
export async function recordChecks(env: Env, recorded: readonly RecordedCheck[], tickAt: number, at: number): Promise<void> {
  const checks: HeadCheckRow[] = recorded.map(({ row, head, outcome }) => ({
    ...{ scope: row.scope, at, sha: head?.sha ?? null, outcome },
  }));
  await createHeadChecks(env.DB).save(checks);
  const fresh: NewSkip[] = [];
  const again: string[] = [];
  for (const { row, head, outcome } of recorded) {
    const skip = head && planSkip(row, outcome, head.sha);
    if (!head || !skip) continue;
    const { scope, owner, name, activeSha: fromSha } = row;
    if (skip.again) again.push(skip.again);
    else
      fresh.push({
        id: newId("build", at),
        scope,
        owner,
        name,
        reason: skip.reason,
        branch: head.branch,
        sha: head.sha,
        fromSha,
      });
  }
  await createSkippedChecks(env.DB).save({ fresh, ids: again }, tickAt, at);
}
