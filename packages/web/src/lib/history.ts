/** A repository's builds as its history shows them: newest first, once each, runs of checks without a build folded. Pure. */
import { type BuildList, type BuildView } from "@open-inspect/protocol";

export type HistoryEntry =
  | { kind: "build"; build: BuildView }
  /** comparisons one after the other that built nothing */
  | { kind: "checks"; key: string; checks: BuildView[]; count: number };

const isBefore = (a: BuildView, b: BuildView) => b.requestedAt - a.requestedAt || (a.id < b.id ? 1 : -1);

/**
 * All builds of the pages, each once. A build that was asked for between two reads may be on two pages.
 * @param latest what the feed said last: newer than what the pages say of the same build
 */
export function joinPages(pages: readonly BuildList[], latest: BuildView | null): BuildView[] {
  const byId = new Map(pages.flatMap((page) => page.builds).map((build) => [build.id, build]));
  // An answer to a change tells nothing of the commit; the list does.
  if (latest !== null) byId.set(latest.id, { ...latest, commit: latest.commit ?? byId.get(latest.id)?.commit });
  return [...byId.values()].sort(isBefore);
}

export function foldChecks(builds: readonly BuildView[]): HistoryEntry[] {
  const entries: HistoryEntry[] = [];
  for (const build of builds) {
    const before = entries.at(-1);
    if (build.status !== "skipped") entries.push({ kind: "build", build });
    else if (before?.kind === "checks") {
      before.checks.push(build);
      before.count += build.skipped?.count ?? 1;
    } else entries.push({ kind: "checks", key: build.id, checks: [build], count: build.skipped?.count ?? 1 });
  }
  return entries;
}

/** What a fold says of its checks. */
export function describeChecks(checks: readonly BuildView[], count: number): string {
  const noun = count === 1 ? "check" : "checks";
  const allUnchanged = checks.every((check) => check.skipped === null || check.skipped.reason === "unchanged");
  return `${count.toLocaleString("en")} ${noun} ${allUnchanged ? "without change" : "without a build"}`;
}
