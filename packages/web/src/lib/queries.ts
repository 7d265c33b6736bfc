/** The cached reads that pages share: keys, and how each is filled. */
import { type RepositoryRef } from "@open-inspect/protocol";
import { queryOptions, useQuery } from "@tanstack/react-query";
import { mergeRepository, mergeSession, repositoriesKey, sessionsKey } from "./feed.ts";
import { useServices } from "./services.tsx";

/** Lists stay fresh by the feed, so that they are read again only when it says so. */
const keptFresh = { staleTime: Number.POSITIVE_INFINITY } as const;

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

export function useSessions() {
  const { api, feed } = useServices();
  return useQuery(
    queryOptions({
      queryKey: sessionsKey,
      queryFn: ({ signal }) => feed.read(() => api.listSessions(signal), mergeSession),
      ...keptFresh,
    }),
  );
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

export function useSession(id: string) {
  const { api } = useServices();
  return useQuery({ queryKey: sessionKey(id), queryFn: ({ signal }) => api.getSession(id, signal), ...keptFresh });
}

export function useBuild(id: string) {
  const { api } = useServices();
  return useQuery({ queryKey: buildKey(id), queryFn: ({ signal }) => api.getBuild(id, signal), ...keptFresh });
}
