/** Merges the feed's messages into the lists of the query cache, whatever order answers and messages come in. Knows no socket. */
import {
  type FeedMessage,
  type RepositoryList,
  type RepositoryRef,
  type SessionList,
  type SessionSummary,
} from "@open-inspect/protocol";
import { type QueryClient } from "@tanstack/react-query";

export const repositoriesKey = ["repositories"] as const;
export const sessionsKey = ["sessions"] as const;
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

/** Pure: the list with the message's session replaced, or added where its age belongs: newest first. */
export function mergeSession(list: SessionList, message: FeedMessage): SessionList {
  if (message.type !== "session") return list;
  const { session } = message;
  const others = list.sessions.filter((each) => each.id !== session.id);
  const before: SessionSummary[] = others.filter((each) => each.createdAt > session.createdAt);
  return { ...list, sessions: [...before, session, ...others.slice(before.length)] };
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
      queryClient.setQueryData<SessionList>(sessionsKey, (list) => list && mergeSession(list, message));
    },
    async read(load, merge) {
      const mark = dropped + recent.length;
      const list = await load();
      return recent.slice(Math.max(0, mark - dropped)).reduce(merge, list);
    },
  };
}
