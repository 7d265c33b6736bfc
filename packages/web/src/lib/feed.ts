/** Merges the feed's messages into the lists of the query cache, whatever order answers and messages come in. Knows no socket. */
import {
  type FeedMessage,
  type RepositoryList,
  type RepositoryRef,
  type SessionList,
  type SessionSummary,
} from "@open-inspect/protocol";
import { type InfiniteData, type QueryClient } from "@tanstack/react-query";
import { matchFilters, readFilters, type SessionFilters } from "./session-filters.ts";

export const repositoriesKey = ["repositories"] as const;
export const sessionsKey = ["sessions"] as const;
export const sessionListKey = (filters: SessionFilters) => [...sessionsKey, filters] as const;
export type SessionPages = InfiniteData<SessionList, string | null>;
export const imagesKey = (repository: RepositoryRef) => ["images", repository.owner, repository.name] as const;
export const buildsKey = (repository: RepositoryRef) => ["builds", repository.owner, repository.name] as const;
export const insightsKey = (repository: RepositoryRef | null) => ["insights", repository?.owner, repository?.name] as const;

/** After a cut the feed may have missed a change. Lists that hang on these two are read again when these have changed. */
const readAgain = new Set<unknown>([repositoriesKey[0], sessionsKey[0]]);

/** The most messages that are kept for lists which are being read. */
const keptMessages = 500;

const sameName = (a: { owner: string; name: string }, b: { owner: string; name: string }) =>
  a.owner === b.owner && a.name === b.name;

/** Pure: the list with the message's repository replaced, or added at the end. */
export function mergeRepository(list: RepositoryList, message: FeedMessage): RepositoryList {
  if (message.type !== "repository") return list;
  const { repository } = message;
  const known = list.repositories.some((each) => sameName(each, repository));
  return {
    repositories: known
      ? list.repositories.map((each) => (sameName(each, repository) ? repository : each))
      : [...list.repositories, repository],
  };
}

/**
 * Pure: the page with the message's session replaced, taken out where it no longer belongs, or added where its age belongs: newest first.
 * @param isFirst only the first page takes up what no page holds
 */
export function mergeSession(list: SessionList, message: FeedMessage, filters: SessionFilters, isFirst: boolean): SessionList {
  if (message.type !== "session") return list;
  const { session } = message;
  const isKnown = list.sessions.some((each) => each.id === session.id);
  const match = matchFilters(session, filters);
  if (match === "no") return isKnown ? { ...list, sessions: list.sessions.filter((each) => each.id !== session.id) } : list;
  if (isKnown) return { ...list, sessions: list.sessions.map((each) => (each.id === session.id ? session : each)) };
  // What is older than a page that goes on belongs to one that was not read yet.
  const oldest = list.sessions.at(-1);
  const isBeyond = list.next !== null && oldest !== undefined && session.createdAt < oldest.createdAt;
  if (!isFirst || match === "unknown" || isBeyond) return list;
  const before: SessionSummary[] = list.sessions.filter((each) => each.createdAt > session.createdAt);
  return { ...list, sessions: [...before, session, ...list.sessions.slice(before.length)] };
}

function mergePages(data: SessionPages, message: FeedMessage, filters: SessionFilters): SessionPages {
  if (message.type !== "session") return data;
  const isKnown = data.pages.some((page) => page.sessions.some(({ id }) => id === message.session.id));
  const pages = data.pages.map((page, index) => mergeSession(page, message, filters, index === 0 && !isKnown));
  return { ...data, pages };
}

export interface Feed {
  /** writes one message into the cache; `hello` (sent on every connection) has both lists read again */
  apply(message: FeedMessage): void;
  /** reads a list and lays over it what the feed said while the answer was on its way */
  read<T>(load: () => Promise<T>, merge: (list: T, message: FeedMessage) => T): Promise<T>;
}

export function createFeed(queryClient: QueryClient): Feed {
  let recent: FeedMessage[] = [];
  let dropped = 0;

  async function readListsAgain(): Promise<void> {
    const lists = { predicate: (query: { queryKey: readonly unknown[] }) => readAgain.has(query.queryKey[0]) };
    // A list that is on its way may have been read before the feed began: let it arrive, then read once more.
    const underWay = queryClient.isFetching(lists) > 0;
    await queryClient.invalidateQueries(lists, { cancelRefetch: false });
    if (underWay) await queryClient.invalidateQueries(lists, { cancelRefetch: false });
  }

  return {
    apply(message) {
      if (message.type === "hello") {
        void readListsAgain();
        return;
      }
      recent.push(message);
      if (recent.length > keptMessages) {
        dropped += recent.length - keptMessages;
        recent = recent.slice(-keptMessages);
      }
      queryClient.setQueryData<RepositoryList>(repositoriesKey, (list) => list && mergeRepository(list, message));
      for (const { queryKey } of queryClient.getQueryCache().findAll({ queryKey: sessionsKey })) {
        const filters = readFilters(Object(queryKey[1]));
        queryClient.setQueryData<SessionPages>(queryKey, (data) => data && mergePages(data, message, filters));
      }
    },
    async read(load, merge) {
      const mark = dropped + recent.length;
      const list = await load();
      return recent.slice(Math.max(0, mark - dropped)).reduce(merge, list);
    },
  };
}
