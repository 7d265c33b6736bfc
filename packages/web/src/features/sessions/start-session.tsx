/** Starting a session: from the moment it is sent its page stands, with the prompt in it. A refusal leads back to what was written. */
import { type CreateSessionRequest, type SessionReplica } from "@open-inspect/protocol";
import { type UseMutationResult, useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { LoaderCircle, Paperclip } from "lucide-react";
import { type ApiError } from "../../lib/api.ts";
import { sessionKey } from "../../lib/queries.ts";
import { rememberRepository } from "../../lib/remembered.ts";
import { useServices } from "../../lib/services.tsx";
import { dropDraft, newSessionDraft } from "../../lib/session-drafts.ts";

export type StartSession = UseMutationResult<unknown, ApiError | Error, CreateSessionRequest>;

export function useStartSession(): StartSession {
  const { api, queryClient } = useServices();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: async (request: CreateSessionRequest) => {
      const session = await api.createSession(request);
      dropDraft(newSessionDraft);
      rememberRepository(session.repository);
      queryClient.setQueryData<SessionReplica>(sessionKey(session.id), { view: session, cursor: null });
      await navigate({ to: "/sessions/$id", params: { id: session.id } });
    },
  });
}

/** The session's page before there is a session: the same frame, so that nothing jumps when it is there. */
export function StartingSession({ request }: { request: CreateSessionRequest }) {
  const { repository, prompt, branch, attachments } = request;
  const name = typeof repository === "string" ? repository : `${repository.owner}/${repository.name}`;
  const title = prompt?.split("\n", 1)[0] ?? name;
  return (
    <div data-fill="" className="flex min-h-0 flex-1 flex-col">
      <header className="shrink-0 border-line border-b px-4 py-2 sm:px-6">
        <h1 className="flex h-8 items-center font-semibold text-lg tracking-tight">
          <span className="truncate">{title}</span>
        </h1>
        <p className="text-muted text-xs">
          {name}
          {branch === undefined ? null : ` · ${branch}`}
        </p>
      </header>
      {/* As wide as the conversation will be beside its panel. */}
      <div className="px-4 py-5 sm:px-6 xl:mr-[42%]">
        <div className="mx-auto max-w-3xl">
          {prompt === undefined ? null : (
            <div className="rounded-xl border border-line bg-sunken px-3.5 py-2.5">
              <p className="line-clamp-[8] whitespace-pre-wrap break-words leading-6">{prompt}</p>
              {attachments === undefined || attachments.length === 0 ? null : (
                <p className="mt-1 flex items-center gap-1 text-faint text-xs">
                  <Paperclip aria-hidden="true" className="size-3" />
                  {attachments.map(({ name: file }) => file).join(", ")}
                </p>
              )}
            </div>
          )}
          <p role="status" className="mt-4 flex items-center gap-2 text-muted text-sm">
            <LoaderCircle aria-hidden="true" className="size-3.5 animate-spin text-warn" />
            Starting the session…
          </p>
        </div>
      </div>
    </div>
  );
}
