/** What a list of sessions is narrowed to, in the address, in the request, and over what the feed says. Pure. */
import { type SessionStatus, type SessionSummary, sessionIdSchema, sessionStatuses } from "@open-inspect/protocol";

/** Absent: not narrowed. */
export interface SessionFilters {
  q?: string;
  /** owner/name */
  repository?: string;
  /** `active`: whatever has a sandbox */
  status?: SessionStatus | "active";
  /** name of whoever began it */
  author?: string;
  /** id of the session that began them */
  parent?: string;
  /** archived ones instead of the others */
  archived?: true;
}

export const filterStatuses = ["active", ...sessionStatuses] as const;

const text = (value: unknown): string | undefined => {
  const trimmed = typeof value === "string" || typeof value === "number" ? String(value).trim() : "";
  return trimmed === "" ? undefined : trimmed.slice(0, 200);
};

/** From an address: what is not a filter is left out. */
export function readFilters(search: Record<string, unknown>): SessionFilters {
  const q = text(search.q);
  const repository = text(search.repository);
  const status = filterStatuses.find((each) => each === search.status);
  const author = text(search.author);
  const parent = sessionIdSchema.safeParse(search.parent).data;
  return {
    ...(q === undefined ? {} : { q }),
    ...(repository !== undefined && /^[^/\s]+\/[^/\s]+$/.test(repository) ? { repository } : {}),
    ...(status === undefined ? {} : { status }),
    ...(author === undefined ? {} : { author }),
    ...(parent === undefined ? {} : { parent }),
    ...(search.archived === true || search.archived === "true" ? { archived: true } : {}),
  };
}

export const isFiltered = (filters: SessionFilters): boolean => Object.keys(filters).length > 0;

/** `?q=…`, or nothing at all. */
export function sessionQuery({ archived, ...filters }: SessionFilters, before: string | null): string {
  const query = new URLSearchParams({ ...filters });
  if (archived) query.set("archived", "true");
  if (before !== null) query.set("before", before);
  return query.size === 0 ? "" : `?${query}`;
}

const hasSandbox = (status: SessionStatus): boolean => status !== "stopped" && status !== "failed";

/**
 * Whether a session belongs into the list. `unknown`: the words may stand in its first prompt, which a summary does not carry.
 */
export function matchFilters(session: SessionSummary, filters: SessionFilters): "yes" | "no" | "unknown" {
  const { repository, status, author, archived, parent } = filters;
  if ((session.archivedAt !== null) !== (archived === true)) return "no";
  const fullName = `${session.repository.owner}/${session.repository.name}`.toLowerCase();
  if (repository !== undefined && fullName !== repository.toLowerCase()) return "no";
  if (status !== undefined && (status === "active" ? !hasSandbox(session.status) : session.status !== status)) return "no";
  if (author !== undefined && session.author?.name.toLowerCase() !== author.toLowerCase()) return "no";
  if (parent !== undefined && session.parentId !== parent) return "no";
  if (filters.q === undefined) return "yes";
  const said = `${session.title} ${fullName} ${session.branch}`.toLowerCase();
  return said.includes(filters.q.toLowerCase()) ? "yes" : "unknown";
}
