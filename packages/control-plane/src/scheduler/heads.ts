/** Heads of one installation's repositories: read a hundred per request, within what its rate limit leaves, one by one where GraphQL fails. */
import { imageScopeOf, type RepositoryRef } from "@open-inspect/protocol";
import { type TickRow } from "../adapters/d1/tick-rows.ts";
import { type Allowance, mergeAllowances, requestsLeft, unknownAllowance } from "../domain/allowance.ts";
import { limits } from "../domain/deadlines.ts";
import {
  type Comparison,
  type GitHub,
  type GitHubResult,
  type KnownRepository,
  type Log,
  type RepositoryHead,
} from "../domain/ports.ts";

export interface ReadPage {
  heads: Map<string, RepositoryHead>;
  /** GitHub does not have these by their names */
  gone: TickRow[];
  /** the rows from this one on were not asked for, because the rate limit leaves no more requests; null: all were */
  leftFrom: number | null;
  isLost: boolean;
}

export type HeadReader = ReturnType<typeof createHeadReader>;

/** @param known what earlier answers said of the limits of GraphQL and of REST */
export function createHeadReader(
  github: GitHub,
  installationId: number,
  known: { allowance: Allowance; rest: Allowance },
  log: Log,
) {
  let graphql = known.allowance;
  let rest = known.rest;
  let singles: number = limits.singleHeadsPerMessage;
  let lookUps: number = limits.lookUpsPerMessage;

  const heard = (allowance: Allowance, kind: "graphql" | "rest"): void => {
    if (kind === "graphql") graphql = mergeAllowances(graphql, allowance);
    else rest = mergeAllowances(rest, allowance);
    // A wait that GitHub asks for holds for both.
    const { blockedUntil } = allowance;
    if (blockedUntil === null) return;
    graphql = mergeAllowances(graphql, { ...unknownAllowance, blockedUntil });
    rest = mergeAllowances(rest, { ...unknownAllowance, blockedUntil });
  };
  const restLeft = (): number => requestsLeft(rest, Date.now());

  async function readSome(rows: readonly TickRow[], page: ReadPage): Promise<"done" | "limited"> {
    const ask = () => github.checkHeads(installationId, rows);
    let result = await ask();
    heard(result.allowance, "graphql");
    // A token that was taken back before its time: the next one says whether the installation is there.
    if (!result.ok && result.error.kind === "unauthorized") {
      result = await ask();
      heard(result.allowance, "graphql");
    }
    if (result.ok) {
      const gone = new Set(result.value.gone.map(imageScopeOf));
      for (const head of result.value.heads) page.heads.set(imageScopeOf(head.repository), head);
      page.gone.push(...rows.filter((row) => gone.has(imageScopeOf(row))));
      return "done";
    }
    const { kind, message } = result.error;
    log.warn("heads.unavailable", { installationId, kind, message });
    if (kind === "rate_limited") return "limited";
    if (kind === "lost") page.isLost = true;
    else await readSingly(rows, page);
    return "done";
  }

  /** Branch and archived flag are those that are known: this reading does not say them. */
  async function readSingly(rows: readonly TickRow[], page: ReadPage): Promise<void> {
    for (const row of rows) {
      if (singles === 0 || restLeft() <= 0) return;
      if (row.defaultBranch === null) continue;
      singles -= 1;
      const result = await github.headOf(installationId, row, row.defaultBranch, row.activeSha);
      heard(result.allowance, "rest");
      if (!result.ok && result.error.kind === "transient") return;
      if (!result.ok) continue;
      const { defaultBranch } = row;
      page.heads.set(row.scope, {
        ...{ repository: row, foundAs: row, defaultBranch, ...result.value, archived: row.archived },
      });
    }
  }

  return {
    allowance: (): Allowance => graphql,
    restAllowance: (): Allowance => rest,
    async readPage(rows: readonly TickRow[]): Promise<ReadPage> {
      const page: ReadPage = { heads: new Map(), gone: [], leftFrom: null, isLost: false };
      const chunks: TickRow[][] = [];
      for (let at = 0; at < rows.length; at += limits.headsPerRequest) chunks.push(rows.slice(at, at + limits.headsPerRequest));
      const able = Math.min(chunks.length, requestsLeft(graphql, Date.now()));
      // The first request alone finds a lost installation, and mints the token that the others share.
      const outcomes: ("done" | "limited")[] = [];
      if (able > 0) outcomes.push(await readSome(chunks[0] ?? [], page));
      if (outcomes[0] === "done" && !page.isLost) {
        const still = Math.min(able, 1 + requestsLeft(graphql, Date.now()));
        outcomes.push(...(await Promise.all(chunks.slice(1, still).map((chunk) => readSome(chunk, page)))));
      }
      const limited = outcomes.indexOf("limited");
      const read = limited === -1 ? outcomes.length : limited;
      if (read < chunks.length && !page.isLost) page.leftFrom = read * limits.headsPerRequest;
      return page;
    },
    /** Null when the limit leaves no request for it, or GitHub does not answer. */
    async compare(repository: RepositoryRef, base: string, head: string): Promise<Comparison | null> {
      if (restLeft() <= 0) return null;
      const result = await github.compare(installationId, repository, base, head);
      heard(result.allowance, "rest");
      return result.ok ? result.value : null;
    },
    /** Null when too many were looked up already. */
    async lookUp(repository: RepositoryRef): Promise<Awaited<GitHubResult<KnownRepository>> | null> {
      if (lookUps === 0 || restLeft() <= 0) return null;
      lookUps -= 1;
      const result = await github.findRepository(installationId, repository);
      heard(result.allowance, "rest");
      return result;
    },
  };
}
