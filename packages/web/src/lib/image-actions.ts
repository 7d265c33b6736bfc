/** What a person does with a repository's images. The switch and a rebuild are shown at once and taken back when refused. */
import {
  type ActivateImageRequest,
  type BuildList,
  type BuildView,
  type ImageSettings,
  type ImageState,
  type RepositoryList,
  type RepositoryRef,
} from "@open-inspect/protocol";
import { type InfiniteData, useMutation } from "@tanstack/react-query";
import { buildsKey, imagesKey, repositoriesKey } from "./feed.ts";
import { useServices } from "./services.tsx";

/** What the switch will probably lead to, shown until the server answers. */
function expectState(image: ImageState, enabled: boolean): ImageState {
  return { ...image, enabled, status: enabled ? (image.active === null ? "none" : "ready") : "disabled" };
}

function useShownImage({ owner, name }: RepositoryRef) {
  const { queryClient } = useServices();

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

  /** Writes only over what the action itself has shown: whatever the feed said since then is newer. */
  function replace(shown: ImageState | undefined, image: ImageState | undefined): void {
    if (shown !== undefined && image !== undefined && read() === shown) write(image);
  }

  return { read, write, replace };
}

export function useImageActions({ owner, name }: RepositoryRef) {
  const { api, queryClient } = useServices();
  const { read, write, replace } = useShownImage({ owner, name });

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
      mergeBuild(build);
    },
  });

  /** The history's own rows come from the database, a moment after the answer. */
  function mergeBuild(build: BuildView): void {
    queryClient.setQueryData<InfiniteData<BuildList, string | null>>(buildsKey({ owner, name }), (history) => {
      const [first, ...rest] = history?.pages ?? [];
      if (history === undefined || first === undefined) return history;
      const known = history.pages.some((page) => page.builds.some((each) => each.id === build.id));
      const place = (page: BuildList) => ({
        ...page,
        builds: page.builds.map((each) => (each.id === build.id ? build : each)),
      });
      const pages = known ? history.pages.map(place) : [{ ...first, builds: [build, ...first.builds] }, ...rest];
      return { ...history, pages };
    });
  }

  const cancel = useMutation({
    mutationFn: (id: string) => api.cancelBuild(id),
    onSuccess: ({ build }) => mergeBuild(build),
  });

  return { toggle, rebuild, cancel };
}

/** Choosing the image that serves, and the settings: each answer is the whole state. */
export function useImageChoices({ owner, name }: RepositoryRef) {
  const { api, queryClient } = useServices();
  const { read, replace } = useShownImage({ owner, name });
  const shownBefore = {
    onMutate: () => ({ shown: read() }),
    onSuccess: (image: ImageState, _asked: unknown, { shown }: { shown: ImageState | undefined }) => {
      replace(shown, image);
      void queryClient.invalidateQueries({ queryKey: imagesKey({ owner, name }) });
    },
  };
  const activate = useMutation({
    mutationFn: ({ id, ...request }: ActivateImageRequest & { id: string }) => api.activateImage(id, request),
    ...shownBefore,
  });
  const unpin = useMutation({ mutationFn: (_nothing: undefined) => api.deletePin({ owner, name }), ...shownBefore });
  const saveSettings = useMutation({
    mutationFn: (settings: ImageSettings) => api.putImageSettings({ owner, name }, settings),
    ...shownBefore,
  });
  return { activate, unpin, saveSettings };
}
