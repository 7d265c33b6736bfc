/**
 * The login with GitHub through octokit: the authorize page's address, codes and refresh tokens for tokens, who somebody is and what of the
 * App's installations they may access. One call is one try with one deadline. Stores nothing.
 */
import { deleteToken, exchangeWebFlowCode, getWebFlowAuthorizationUrl, refreshToken } from "@octokit/oauth-methods";
import { RequestError } from "octokit";
import { z } from "zod";
import { deadlines, limits } from "../domain/deadlines.ts";
import { type GitHubUser } from "../domain/login.ts";
import { type Result } from "../domain/ports.ts";
import { classify } from "./github.ts";
import { fetchWithin, PlainOctokit, quiet } from "./github-client.ts";

export interface UserTokens {
  access: string;
  /** milliseconds since the epoch; null: it does not end */
  endsAt: number | null;
  /** null: GitHub gave none, since the App's tokens do not end */
  refresh: string | null;
}
/** `refused`: GitHub will not, however often it is asked; `unavailable`: it did not answer, or the App's own settings are wrong. */
export interface LoginFailure {
  kind: "refused" | "unavailable";
  message: string;
}
export type LoginResult<T> = Promise<Result<T, LoginFailure>>;

export interface GitHubLogin {
  /** @param challenge of PKCE, the SHA-256 of the verifier */
  authorizeUrl(asked: { redirectUrl: string; state: string; challenge: string }): string;
  /** A code counts once. */
  exchange(asked: { code: string; verifier: string; redirectUrl: string }): LoginResult<UserTokens>;
  /** Ends the old pair: an answer that gets lost is a login that is lost. */
  refresh(token: string): LoginResult<UserTokens>;
  whoIs(access: string): LoginResult<GitHubUser>;
  /** Whether they may access the App's installation on one of the accounts. */
  mayAccess(access: string, accounts: readonly string[]): LoginResult<boolean>;
  endToken(access: string): LoginResult<void>;
}

const userSchema = z.object({
  id: z.number().int().positive(),
  login: z.string().min(1).max(100),
  name: z.string().nullish(),
  avatar_url: z.url({ protocol: /^https?$/ }).nullish(),
});
const tokensSchema = z.object({
  access_token: z.string().min(1).max(500),
  expires_in: z.number().int().positive().optional(),
  refresh_token: z.string().min(1).max(500).optional(),
});
const installationSchema = z.object({
  account: z.object({ login: z.string().optional() }).nullish(),
  suspended_at: z.string().nullish(),
});
/** Wrong settings of ours, which a person can do nothing about and which may be mended. */
const ourFaults: ReadonlySet<unknown> = new Set([
  "incorrect_client_credentials",
  "redirect_uri_mismatch",
  "application_suspended",
]);
const faultSchema = z.object({ error: z.string() });
const pageSize = 100;

export function createGitHubLogin(options: { baseUrl: string; clientId: string; clientSecret: string }): GitHubLogin {
  const { baseUrl, clientId, clientSecret } = options;
  const clientOptions = { baseUrl, request: { fetch: fetchWithin(deadlines.githubRequestMs) }, log: quiet };
  const { request } = new PlainOctokit(clientOptions);
  const app = { clientType: "github-app" as const, clientId, clientSecret };

  async function attempt<T>(work: () => Promise<T>): LoginResult<T> {
    try {
      return { ok: true, value: await work() };
    } catch (error) {
      return { ok: false, error: failureOf(error) };
    }
  }

  return {
    authorizeUrl({ redirectUrl, state, challenge }) {
      const { url } = getWebFlowAuthorizationUrl({ clientType: "github-app", clientId, redirectUrl, state, request });
      return `${url}&${new URLSearchParams({ code_challenge: challenge, code_challenge_method: "S256" })}`;
    },
    exchange: ({ code, verifier, redirectUrl }) =>
      attempt(async () => {
        // The method has no parameter for the verifier; a request's defaults are part of every body.
        const proving = request.defaults({ code_verifier: verifier });
        return tokensOf(await exchangeWebFlowCode({ ...app, code, redirectUrl, request: proving }));
      }),
    refresh: (token) => attempt(async () => tokensOf(await refreshToken({ ...app, refreshToken: token, request }))),
    whoIs: (access) =>
      attempt(async () => {
        const { data } = await new PlainOctokit({ ...clientOptions, auth: access }).rest.users.getAuthenticated();
        const { id: githubId, login, name = null, avatar_url: avatarUrl = null } = userSchema.parse(data);
        return { githubId, login, name, avatarUrl };
      }),
    mayAccess: (access, accounts) =>
      attempt(async () => {
        const wanted = new Set(accounts.map((account) => account.toLowerCase()));
        const { rest } = new PlainOctokit({ ...clientOptions, auth: access });
        for (let page = 1; page <= limits.installationPages; page++) {
          const { data } = await rest.apps.listInstallationsForAuthenticatedUser({ per_page: pageSize, page });
          const installations = z.array(installationSchema).parse(data.installations);
          const isOne = installations.some(
            ({ account, suspended_at }) => !suspended_at && wanted.has(account?.login?.toLowerCase() ?? ""),
          );
          if (isOne) return true;
          if (installations.length < pageSize) break;
        }
        return false;
      }),
    endToken: (access) =>
      attempt(async () => {
        await deleteToken({ ...app, token: access, request }).catch((error: unknown) => {
          // It has ended by itself.
          if (!(error instanceof RequestError) || error.status !== 404) throw error;
        });
      }),
  };
}

/** By our own clock, which may differ from GitHub's: what counts is how long a token lives. */
const tokensOf = ({ data }: { data: unknown }): UserTokens => {
  const { access_token: access, expires_in: seconds, refresh_token: refresh = null } = tokensSchema.parse(data);
  return { access, endsAt: seconds === undefined ? null : Date.now() + seconds * 1_000, refresh };
};

function failureOf(error: unknown): LoginFailure {
  const { kind, message } = classify(error);
  // The endpoint of tokens says what is wrong with status 200; octokit makes a 400 of it.
  const fault = error instanceof RequestError ? faultSchema.safeParse(error.response?.data) : null;
  if (fault?.success) return { kind: ourFaults.has(fault.data.error) ? "unavailable" : "refused", message };
  return { kind: kind === "unauthorized" || kind === "not_found" ? "refused" : "unavailable", message };
}
