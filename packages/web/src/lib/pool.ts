/** What a repository sets for its sessions, and its warm pool: read while it is looked at, changed by a person. */
import { type PoolView, type RepositoryRef, type SessionSettings } from "@open-inspect/protocol";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useServices } from "./services.tsx";

/** No feed tells of a pool: one that is being filled is looked at often, any other one now and then. */
const fillingPollMs = 4_000;
const standingPollMs = 20_000;

export const poolKey = ({ owner, name }: RepositoryRef) => ["pool", owner, name] as const;

function pollMs(pool: PoolView | undefined): number | false {
  if (pool === undefined) return false;
  const { settings, ready, starting, problem } = pool;
  const isFilling = starting > 0 || (ready < settings.poolSize && problem === null);
  if (isFilling) return fillingPollMs;
  return settings.poolSize === 0 && ready === 0 ? false : standingPollMs;
}

export function usePool({ owner, name }: RepositoryRef) {
  const { api, queryClient } = useServices();
  const queryKey = poolKey({ owner, name });
  const pool = useQuery({
    queryKey,
    queryFn: ({ signal }) => api.readPool({ owner, name }, signal),
    refetchInterval: (query) => pollMs(query.state.data),
  });
  const save = useMutation({
    mutationFn: (settings: SessionSettings) => api.putSessionSettings({ owner, name }, settings),
    onSuccess: async (view) => {
      // An answer that is on its way was read before the change.
      await queryClient.cancelQueries({ queryKey });
      queryClient.setQueryData<PoolView>(queryKey, view);
    },
  });
  return { pool, save };
}
