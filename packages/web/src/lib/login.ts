/** Who is logged in, the way to the login, and what a logout leaves behind: nothing. Knows no page. */
import { type LoginError, type Me } from "@open-inspect/protocol";
import { type QueryClient, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { type Api, ApiError } from "./api.ts";
import { forgetRemembered } from "./remembered.ts";
import { useServices } from "./services.tsx";
import { dropAllDrafts } from "./session-drafts.ts";

const meKey = ["me"] as const;

const askAgainMs = 5_000;

/** Who asks; undefined until it is known, and where the server does not tell. It changes with a new page alone. */
export function useMe(): Me | undefined {
  const { api } = useServices();
  const read = useQuery({
    queryKey: meKey,
    queryFn: ({ signal }) => api.readMe(signal),
    staleTime: Number.POSITIVE_INFINITY,
    // A server that was away when the page began; one that refuses says the same each time.
    refetchInterval: ({ state: { error } }) =>
      error instanceof ApiError && (error.status === 0 || error.status >= 500) ? askAgainMs : false,
  });
  return read.data;
}

/** A path of ours that somebody came from; anything else is the first page. */
export function readReturn(value: unknown): string {
  const isOurs = typeof value === "string" && /^\/(?![/\\])/.test(value) && !/^\/login(?:[/?#]|$)/.test(value);
  return isOurs ? value : "/";
}

/** Where the browser leaves for GitHub. @param back the path to return to */
export const loginAddress = (back: string): string => `/api/auth/github?${new URLSearchParams({ return: readReturn(back) })}`;

/** Ends the login and forgets what this browser holds of the person: answers, drafts and choices. */
export async function logOut(api: Api, queryClient: QueryClient, leave: () => Promise<void>): Promise<void> {
  await api.logOut();
  await leaveAsNobody(queryClient, leave);
  // Not before: a page that is still there would remember anew.
  dropAllDrafts();
  forgetRemembered();
  tellOtherWindows();
}

/** Changes for a moment when somebody logs out: every other window of this browser hears of it. */
const leftKey = "open-inspect.left";

function tellOtherWindows(): void {
  try {
    localStorage.setItem(leftKey, String(Date.now()));
    localStorage.removeItem(leftKey);
  } catch {
    // Storage is switched off: another window learns of it by its next request.
  }
}

/** Whether somebody has logged out in another window. */
export const isLogoutElsewhere = ({ key, newValue }: StorageEvent): boolean => key === leftKey && newValue !== null;

/** @param leave leads to the login page, which must not greet whoever was logged in before */
export async function leaveAsNobody(queryClient: QueryClient, leave: () => Promise<void>): Promise<void> {
  queryClient.setQueryData<Me>(meKey, { person: null, via: null, avatarUrl: null, canLogIn: true });
  await leave();
  await queryClient.invalidateQueries({ queryKey: meKey });
}

/** Where nobody has to be logged in, no answer is kept that somebody who was has read. */
export function useEmptyCache(): void {
  const { queryClient } = useServices();
  useEffect(() => queryClient.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== meKey[0] }), [queryClient]);
}

/** Why a login came to nothing, and what to do. */
export const loginErrorWords: Record<LoginError, { message: string; hint: string }> = {
  denied: {
    message: "You did not allow it at GitHub, so nobody was logged in.",
    hint: "Log in again and allow it when GitHub asks.",
  },
  expired: {
    message: "The login took too long, or it began in another browser.",
    hint: "Log in again and finish within ten minutes.",
  },
  not_allowed: {
    message: "GitHub knows you, but your account has no access to this installation.",
    hint: "Ask whoever runs it to let your account or your organisation in. To come as somebody else, log out at GitHub first.",
  },
  github_unavailable: {
    message: "GitHub did not answer, so nobody was logged in.",
    hint: "Try again in a minute.",
  },
};
