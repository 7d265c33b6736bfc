/**
 * One message of the tick: the repositories of an installation, page by page. Most are decided from D1's rows and written in bulk; only
 * where something is to be done is an object woken.
 */
import { type HeadCheckOutcome, imageScopeOf, type RepositoryRef } from "@open-inspect/protocol";
import { createHeadChecks, type HeadCheckRow } from "../adapters/d1/head-checks.ts";
import { createHeadSightings } from "../adapters/d1/head-sightings.ts";
import { createInstallations } from "../adapters/d1/installations.ts";
import { createRepositories } from "../adapters/d1/repositories.ts";
import { createTickRows, type TickRow } from "../adapters/d1/tick-rows.ts";
import { gitHubOf } from "../compose.ts";
import { allowedAt } from "../domain/allowance.ts";
import { limits } from "../domain/deadlines.ts";
import { isIgnored } from "../domain/ignored-paths.ts";
import { type Head } from "../domain/image-messages.ts";
import { type HeadCheckMessage, type Log } from "../domain/ports.ts";
import { sightingOf } from "../domain/sightings.ts";
import { planCheck } from "../domain/tick-plan.ts";
import { type Env, readConfig } from "../env.ts";
import { loseInstallation, resolveMissing } from "../repository-changes.ts";
import { syncRepositories } from "../repository-sync.ts";
import { createHeadReader, type HeadReader, type ReadPage } from "./heads.ts";
import { type RecordedCheck, recordChecks } from "./record.ts";

/** A message is delayed at most this long: the next tick comes anyway. */
const resumeMaxMs = 12 * 60 * 60_000;

export async function checkInstallation(env: Env, message: HeadCheckMessage, log: Log): Promise<void> {
  const { installationId, tickAt } = message;
  const installations = createInstallations(env.DB);
  const known = await installations.find(installationId);
  const reader = createHeadReader(gitHubOf(readConfig(env)), installationId, known, log);
  let { after } = message;
  let isSynced = false;
  for (let page = 0; page < limits.pagesPerMessage; page++) {
    const rows = await createTickRows(env.DB).page(installationId, after, limits.headsPerPage);
    const last = rows.at(-1);
    if (!last) {
      log.info("installation.checked", { installationId, tookMs: Date.now() - tickAt });
      return;
    }
    const read = await reader.readPage(rows);
    const rest = reader.restAllowance();
    await installations.saveAllowance(installationId, reader.allowance(), rest);
    if (read.isLost) {
      return loseInstallation(env, installationId);
    }
    if (known.lostAt !== null && page === 0) await installations.found(installationId);
    const { anyGone } = await settlePage(env, { rows: rows.slice(0, read.leftFrom ?? rows.length), read, reader, tickAt, log });
    // Comparisons and look-ups by name have cost some more.
    if (reader.restAllowance() !== rest) {
      await installations.saveAllowance(installationId, reader.allowance(), reader.restAllowance());
    }
    // What left this installation may be another one's by now: only the whole list says.
    if (anyGone && !isSynced) await syncRepositories(env, { force: true, background: () => {} });
    isSynced ||= anyGone;
    if (read.leftFrom !== null) {
      after = rows[read.leftFrom - 1]?.scope ?? after;
      await createHeadChecks(env.DB).saveUnavailable(installationId, after, Date.now());
      return resumeLater(env, { message: { ...message, after }, reader, pendingAt: known.resumesAt, log });
    }
    after = last.scope;
    if (rows.length < limits.headsPerPage) {
      log.info("installation.checked", { installationId, tookMs: Date.now() - tickAt });
      return;
    }
  }
  await env.HEAD_CHECKS.send({ ...message, after });
}

/** Goes on where the limit stopped it, once GitHub allows it again; one such message is enough. */
async function resumeLater(
  env: Env,
  { message, reader, pendingAt, log }: { message: HeadCheckMessage; reader: HeadReader; pendingAt: number | null; log: Log },
): Promise<void> {
  const now = Date.now();
  const { installationId, after } = message;
  const at = Math.min(allowedAt(reader.allowance(), now) + 1_000, now + resumeMaxMs);
  log.warn("heads.limited", { installationId, after, resumesAt: at });
  if (pendingAt !== null && pendingAt > now) return;
  await env.HEAD_CHECKS.send(message, { delaySeconds: Math.ceil((at - now) / 1_000) });
  await createInstallations(env.DB).resumesAt(installationId, at);
}

interface Page {
  rows: readonly TickRow[];
  read: ReadPage;
  reader: HeadReader;
  tickAt: number;
  log: Log;
}

async function settlePage(env: Env, { rows, read, reader, tickAt, log }: Page): Promise<{ anyGone: boolean }> {
  const { RUNTIME_FLOOR } = readConfig(env);
  const now = Date.now();
  const recorded: RecordedCheck[] = [];
  const woken: { row: TickRow; head: Head }[] = [];
  const compared: { row: TickRow; head: Head; base: string }[] = [];
  /** not where they were, with the name to look for */
  const moved: { scope: string; name: RepositoryRef }[] = read.gone.map((row) => ({ scope: row.scope, name: row }));
  const isGone = new Set(read.gone);
  const archived: { scope: string; archived: boolean }[] = [];
  for (const row of rows) {
    if (isGone.has(row)) continue;
    const found = read.heads.get(row.scope);
    if (found && imageScopeOf(found.foundAs) !== row.scope) {
      moved.push({ scope: row.scope, name: found.foundAs });
      continue;
    }
    if (found && found.archived !== row.archived) archived.push({ scope: row.scope, archived: found.archived });
    const branch = found?.defaultBranch ?? null;
    if (found && branch !== row.defaultBranch) await createRepositories(env.DB).setDefaultBranch(row.scope, branch);
    const head = found?.sha && branch ? { branch, sha: found.sha, archived: found.archived } : null;
    const plan = planCheck(row, head, RUNTIME_FLOOR, now);
    if (plan.do === "record") recorded.push({ row, head, outcome: plan.outcome });
    else if (!head) continue;
    else if (plan.do === "wake") woken.push({ row, head });
    else compared.push({ row, head, base: plan.base });
  }
  await atOnce(limits.comparesAtOnce, compared, async ({ row, head, base }) => {
    const comparison = await reader.compare(row, base, head.sha);
    if (comparison && isIgnored(comparison, row.ignorePaths ?? [])) recorded.push({ row, head, outcome: "ignored_paths" });
    else woken.push({ row, head });
  });
  await createRepositories(env.DB).setArchived(archived);
  await recordChecks(env, recorded, tickAt, now);
  const commitOf = ({ scope }: TickRow) => read.heads.get(scope)?.commit ?? null;
  const seen = [...recorded, ...woken].flatMap(({ row, head }) =>
    head && head.sha !== row.seenSha && head.sha !== row.activeSha
      ? [sightingOf("tick", { scope: row.scope, sha: head.sha, commit: commitOf(row), at: now, pushedAt: null })]
      : [],
  );
  await createHeadSightings(env.DB).save(seen);
  // Comparisons end in any order; builds are asked for in that of the scopes.
  woken.sort((a, b) => (a.row.scope < b.row.scope ? -1 : 1));
  const outcomes: HeadCheckRow[] = [];
  await atOnce(limits.wakesAtOnce, woken, async ({ row: { scope }, head }) => {
    const outcome = await wake(env, scope, head, log);
    if (outcome) outcomes.push({ scope, at: Date.now(), sha: outcome === "unavailable" ? null : head.sha, outcome });
  });
  await createHeadChecks(env.DB).save(outcomes);
  let anyGone = false;
  for (const { scope, name } of moved) anyGone = (await resolveMissing(env, scope, name, reader, log)) || anyGone;
  return { anyGone };
}

/** A new life of the object takes the second try; what fails again waits for the next tick. */
async function wake(env: Env, scope: string, head: Head, log: Log): Promise<HeadCheckOutcome | null> {
  for (let tries = 1; ; tries++) {
    try {
      return await env.IMAGES.getByName(scope).checkHead(head);
    } catch (error) {
      log.error("check.failed", { scope, tries, error });
      if (tries === 2) return "unavailable";
    }
  }
}

/** Does the work for every item, so many of them side by side, in their order. */
async function atOnce<T>(many: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(many, items.length) }, worker));
}
