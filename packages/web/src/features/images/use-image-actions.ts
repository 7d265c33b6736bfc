/** Switching a repository's images on and off and rebuilding them: shown at once, taken back when refused. */
import { type ImageState, type RepositoryList, type RepositoryRef } from "@open-inspect/protocol";
import { useMutation } from "@tanstack/react-query";
import { repositoriesKey } from "../../lib/feed.ts";
import { useServices } from "../../lib/services.tsx";

/** What the switch will probably lead to, shown until the server answers. */
function expectState(image: ImageState, enabled: boolean): ImageState {
  return { ...image, enabled, status: enabled ? (image.active === null ? "none" : "ready") : "disabled" };
}

export function useImageActions({ owner, name }: RepositoryRef) {
  const { api, queryClient } = useServices();

  function read(): ImageState | undefined {
    const list = queryClient.getQueryData<RepositoryList>(repositoriesKey);
    return list?.repositories.find((each) => each.owner === owner && each.name === name)?.image;
  }

  function write(image: ImageState): void {
    queryClient.setQueryData<RepositoryList>(
      repositoriesKey,
      (list) =>
        list && {
          repositories: list.repositories.map((each) => (each.owner === owner && each.name === name ? { ...each, image } : each)),
        },
    );
  }

  /** Writes only over what this action itself has shown: whatever the feed said since then is newer. */
  function replace(shown: ImageState | undefined, image: ImageState | undefined): void {
    if (shown !== undefined && image !== undefined && read() === shown) write(image);
  }

  const toggle = useMutation({
    mutationFn: (enabled: boolean) => api.putImage({ owner, name }, enabled),
    onMutate: async (enabled) => {
      // A list that is on its way was read before the switch: its answer would undo what is shown.
      await queryClient.cancelQueries({ queryKey: repositoriesKey });
      const before = read();
      if (before === undefined) return { before, shown: undefined };
      write(expectState(before, enabled));
      return { before, shown: read() };
    },
    onSuccess: (image, _enabled, { shown }) => replace(shown, image),
    onError: (_error, _enabled, context) => replace(context?.shown, context?.before),
  });

  const rebuild = useMutation({
    mutationFn: async () => {
      const asked = read();
      const { build } = await api.requestBuild({ owner, name });
      return { build, behind: asked?.status === "building" ? (asked.latestBuild?.id ?? null) : null };
    },
    onMutate: () => ({ shown: read() }),
    onSuccess: ({ build, behind }, _nothing, { shown }) => {
      // A request beside a running build changes nothing yet: the running one goes on being shown.
      if (behind === null) replace(shown, shown && { ...shown, status: "building", latestBuild: build });
    },
  });

  return { toggle, rebuild };
}
