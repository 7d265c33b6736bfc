/** What a person does with a session. What becomes of it is told by the session's socket; a refusal is said aloud and stays with its button. */
import { type ChangePromptRequest, type PullRequestRequest, type SessionReplica } from "@open-inspect/protocol";
import { useMutation } from "@tanstack/react-query";
import { sessionKey } from "./queries.ts";
import { useServices } from "./services.tsx";

export function useSessionActions(id: string) {
  const { api, queryClient, announcer } = useServices();
  const refused = (what: string) => (error: Error) => announcer.announce(`${what} failed: ${error.message}`);
  const write = (title: string) =>
    queryClient.setQueryData<SessionReplica>(
      sessionKey(id),
      (replica) => replica && (replica.view === null ? replica : { ...replica, view: { ...replica.view, title } }),
    );

  return {
    stop: useMutation({ mutationFn: () => api.stopSession(id), onError: refused("Stopping") }),
    resume: useMutation({ mutationFn: () => api.resumeSession(id), onError: refused("Resuming") }),
    archive: useMutation({ mutationFn: () => api.archiveSession(id), onError: refused("Archiving") }),
    restore: useMutation({ mutationFn: () => api.restoreSession(id), onError: refused("Restoring") }),
    refresh: useMutation({ mutationFn: () => api.refreshSession(id), onError: refused("The refresh") }),
    stopPrompt: useMutation({ mutationFn: (promptId: string) => api.stopPrompt(id, promptId), onError: refused("Stopping") }),
    cancelPrompt: useMutation({
      mutationFn: (promptId: string) => api.cancelPrompt(id, promptId),
      onError: refused("Cancelling"),
    }),
    changePrompt: useMutation({
      mutationFn: ({ promptId, ...request }: ChangePromptRequest & { promptId: string }) =>
        api.changePrompt(id, promptId, request),
      onError: refused("Changing the prompt"),
    }),
    pullRequest: useMutation({
      mutationFn: (request: PullRequestRequest) => api.requestPullRequest(id, request),
      onError: refused("The pull request"),
    }),
    rename: useMutation({
      mutationFn: (title: string) => api.changeSession(id, { title }),
      onMutate: (title) => {
        const before = queryClient.getQueryData<SessionReplica>(sessionKey(id))?.view?.title;
        write(title);
        return { before };
      },
      onError: (error, _title, context) => {
        if (context?.before !== undefined) write(context.before);
        refused("Renaming")(error);
      },
    }),
  };
}
export type SessionActions = ReturnType<typeof useSessionActions>;
