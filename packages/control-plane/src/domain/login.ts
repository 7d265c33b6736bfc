/** Decisions about logins: where one returns to, how long GitHub's word about a person holds, how a person is called. Pure. */
import { type Person } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";

/** A person as GitHub describes them. */
export interface GitHubUser {
  /** GitHub's number, which they keep when the login changes */
  githubId: number;
  login: string;
  name: string | null;
  avatarUrl: string | null;
}

const nameMax = 200;
const returnMax = 2_000;

/** Commits carry the address that GitHub gives everybody who keeps their own to themselves. */
export function personOfUser({ githubId, login, name }: Pick<GitHubUser, "githubId" | "login" | "name">): Person {
  const called = (name ?? "")
    .replace(/[\p{Cc}<>]+/gu, " ")
    .trim()
    .slice(0, nameMax);
  return { name: called || login, login, email: `${githubId}+${login}@users.noreply.github.com` };
}

/** A path of ours to return to; everything else is the first page. @param origin ours */
export function returnPathOf(asked: string | undefined, origin: string): string {
  if (asked === undefined || asked.length > returnMax || !/^\/(?![/\\])/.test(asked) || /[\\\p{Cc}]/u.test(asked)) return "/";
  const url = URL.parse(asked, origin);
  if (!url || url.origin !== origin) return "/";
  const path = `${url.pathname}${url.search}${url.hash}`;
  // Dots may have hidden a second slash; the API is nowhere to be led to.
  return path.startsWith("//") || /^\/(?:api|bridge|model)(?:[/?#]|$)/.test(path) ? "/" : path;
}

/**
 * How good GitHub's last word is that a person may be here. `soon`: it is asked again meanwhile. `due`: it is waited for, and when it does
 * not answer the last word holds. `over`: it does not any more.
 */
export function accessAge(checkedAt: number, now: number): "fresh" | "soon" | "due" | "over" {
  const age = now - checkedAt;
  if (age < deadlines.accessRecheckMs) return "fresh";
  if (age < deadlines.accessHoldsMs) return "soon";
  return age < deadlines.accessUnprovenMs ? "due" : "over";
}

/** Whether an access token has to be renewed before it is used. @param endsAt null: it does not end */
export const isTokenDue = (endsAt: number | null, now: number): boolean =>
  endsAt !== null && endsAt - now < deadlines.tokenRenewMs;
