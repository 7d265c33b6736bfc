/** The cached reads that pages share: keys, and how each is filled. */
import { type RepositoryRef, type SessionReplica } from "@open-inspect/protocol";
import { queryOptions, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { buildsKey, imagesKey, insightsKey, mergeRepository, mergeSession, repositoriesKey, sessionListKey } from "./feed.ts";
import { useServices } from "./services.tsx";
import { type SessionFilters } from "./session-filters.ts";

/** Lists stay fresh by the feed, so that they are read again only when it says so. */
const keptFresh = { staleTime: Number.POSITIVE_INFINITY } as const;

/** Lists that the feed does not carry are read again whenever their page is opened. */
const listsStaleMs = 1_000;
const retiredPollMs = 10_000;

export const sessionKey = (id: string) => ["session", id] as const;
export const buildKey = (id: string) => ["build", id] as const;

export function useRepositories() {
  const { api, feed } = useServices();
  return useQuery(
    queryOptions({
      queryKey: repositoriesKey,
      queryFn: ({ signal }) => feed.read(() => api.listRepositories(signal), mergeRepository),
      ...keptFresh,
    }),
  );
}

/** Sessions, newest first, page by page. */
export function useSessions(filters: SessionFilters) {
  const { api, feed } = useServices();
  return useInfiniteQuery({
    queryKey: sessionListKey(filters),
    queryFn: ({ pageParam, signal }) =>
      feed.read(
        () => api.listSessions(filters, pageParam, signal),
        (list, message) => mergeSession(list, message, filters, pageParam === null),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next ?? undefined,
    ...keptFresh,
  });
}

export function useBranches(repository: RepositoryRef | null) {
  const { api } = useServices();
  return useQuery({
    queryKey: ["branches", repository?.owner, repository?.name],
    queryFn: ({ signal }) => (repository === null ? { branches: [] } : api.listBranches(repository, signal)),
    enabled: repository !== null,
    staleTime: 30_000,
  });
}

/** A session as one answer has it. @param id null reads nothing */
export function useSession(id: string | null) {
  const { api } = useServices();
  return useQuery({
    queryKey: sessionKey(id ?? ""),
    queryFn: async ({ signal }): Promise<SessionReplica> => ({ view: await api.getSession(id ?? "", signal), cursor: null }),
    enabled: id !== null,
    select: (replica) => replica.view,
    ...keptFresh,
  });
}

export function useBuild(id: string) {
  const { api } = useServices();
  return useQuery({ queryKey: buildKey(id), queryFn: ({ signal }) => api.getBuild(id, signal), ...keptFresh });
}

/** How sessions began lately. @param repository null: of all repositories */
export function useInsights(repository: RepositoryRef | null) {
  const { api } = useServices();
  return useQuery({
    queryKey: insightsKey(repository),
    queryFn: ({ signal }) => api.readInsights(repository, signal),
    staleTime: listsStaleMs,
  });
}

/** Images that the provider still has. */
export function useKeptImages(repository: RepositoryRef) {
  const { api } = useServices();
  return useQuery({
    queryKey: imagesKey(repository),
    queryFn: ({ signal }) => api.listImages(repository, signal),
    staleTime: listsStaleMs,
    // One that is retired goes when the provider has deleted it, of which nobody tells.
    refetchInterval: (query) => (query.state.data?.images.some(({ state }) => state === "retired") ? retiredPollMs : false),
  });
}

/** Who saw each head first. */
export function useSightings(repository: RepositoryRef) {
  const { api } = useServices();
  return useQuery({
    queryKey: ["sightings", repository.owner, repository.name],
    queryFn: ({ signal }) => api.listSightings(repository, signal),
    staleTime: listsStaleMs,
  });
}

/** Builds, newest first, page by page. */
export function useBuilds(repository: RepositoryRef) {
  const { api } = useServices();
  return useInfiniteQuery({
    queryKey: buildsKey(repository),
    queryFn: ({ pageParam, signal }) => api.listBuilds(repository, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next ?? undefined,
    staleTime: listsStaleMs,
  });
}
