/**
 * Logging in to the GitHub App on the emulated GitHub: the authorization's page, the token endpoint, avatars. The web application flow with
 * PKCE. Has no passwords and no sessions: whoever reaches the page chooses who they are.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type Context, Hono } from "hono";
import { callbackFor } from "./callbacks.ts";
import { readText } from "./json-body.ts";
import { authorizePage, avatarSvg, messagePage, type Page } from "./login-page.ts";
import { type People } from "./people.ts";
import { type Repositories } from "./repositories.ts";
import { type TokenPair, type UserTokens } from "./user-tokens.ts";

export interface OauthOptions {
  clientId: string;
  clientSecret: string;
  /** whither people may be sent back; without one asked for, the first */
  callbackUrls: string[];
}

export const isLoginPath = (path: string) => path.startsWith("/login/") || path.startsWith("/avatars/");

const bodyMaxBytes = 64 * 1024;
const digest = (text: string) => createHash("sha256").update(text).digest();
export const sameSecret = (a: string, b: string) => timingSafeEqual(digest(a), digest(b));

const docs = "https://docs.github.com/apps/managing-oauth-apps";
/** GitHub's sentences, and where it explains them. */
const authorizeErrors = {
  access_denied: ["The user has denied your application access.", "access-denied"],
  redirect_uri_mismatch: [
    "The redirect_uri MUST match the registered callback URL for this application.",
    "redirect-uri-mismatch",
  ],
  invalid_request: ["The code_challenge must be 43 characters long, and its method S256.", "invalid-request"],
} as const;
const tokenErrors = {
  incorrect_client_credentials: "The client_id and/or client_secret passed are incorrect.",
  redirect_uri_mismatch: "The redirect_uri MUST match the registered callback URL for this application.",
  bad_verification_code: "The code passed is incorrect or expired.",
  bad_refresh_token: "The refresh token passed is incorrect or expired.",
  unsupported_grant_type: "The grant_type passed is not supported.",
} as const;

type Asked =
  | { redirectUri: string; state: string | undefined; challenge: string | null }
  | { response: Response | Promise<Response> };

export function createLogin(ports: {
  oauth: OauthOptions | null;
  appName: string;
  people: People;
  repositories: Repositories;
  tokens: UserTokens;
}) {
  const { oauth, people, tokens } = ports;
  const login = new Hono();
  const show = (c: Context, { body, headers }: Page, status: 200 | 400 | 403 | 404 = 200) => c.body(body, status, headers);
  const missing = (c: Context) => show(c, messagePage("Page not found", "This is not the page you are looking for."), 404);
  const back = (c: Context, callback: string, said: Record<string, string | undefined>) => {
    const url = new URL(callback);
    for (const [name, value] of Object.entries(said)) if (value !== undefined) url.searchParams.set(name, value);
    c.header("cache-control", "no-store");
    return c.redirect(url.href, 302);
  };
  const refuse = (c: Context, callback: string, error: keyof typeof authorizeErrors, state: string | undefined) => {
    const [error_description, anchor] = authorizeErrors[error];
    const error_uri = `${docs}/troubleshooting-authorization-request-errors/#${anchor}`;
    return back(c, callback, { error, error_description, error_uri, state });
  };
  /** What an app asks for with the address that it sends people to; or what to answer instead of the page. */
  const askedFor = (c: Context): Asked => {
    const { client_id, redirect_uri, state, code_challenge, code_challenge_method } = c.req.query();
    const registered = oauth?.callbackUrls[0];
    if (oauth === null || registered === undefined || client_id !== oauth.clientId) return { response: missing(c) };
    const redirectUri = callbackFor(oauth.callbackUrls, redirect_uri);
    if (redirectUri === null) return { response: refuse(c, registered, "redirect_uri_mismatch", state) };
    const hasProof = code_challenge !== undefined || code_challenge_method !== undefined;
    const isProof = code_challenge_method === "S256" && /^[A-Za-z0-9_-]{43}$/.test(code_challenge ?? "");
    if (hasProof && !isProof) return { response: refuse(c, redirectUri, "invalid_request", state) };
    return { redirectUri, state, challenge: code_challenge ?? null };
  };

  login.get("/login/oauth/authorize", (c) => {
    const asked = askedFor(c);
    if ("response" in asked) return asked.response;
    const { pathname, search } = new URL(c.req.url);
    const shown = { appName: ports.appName, people: people.list(), action: pathname + search, callback: asked.redirectUri };
    return show(c, authorizePage({ ...shown, suggested: c.req.query("login") }));
  });
  login.post("/login/oauth/authorize", async (c) => {
    const origin = c.req.header("origin");
    // Another page must not choose for whoever looks at it.
    if (origin !== undefined && origin !== `http://${c.req.header("host") ?? ""}`) {
      return show(c, messagePage("Not from here", "The choice has to be made on this page."), 403);
    }
    const asked = askedFor(c);
    if ("response" in asked) return asked.response;
    const { redirectUri, state, challenge } = asked;
    const chosen = new URLSearchParams((await readText(c, bodyMaxBytes)) ?? "");
    if (chosen.has("cancel")) return refuse(c, redirectUri, "access_denied", state);
    const person = people.find(chosen.get("person") ?? "");
    if (person === null) return show(c, messagePage("Nobody chosen", "Go back and choose who you are."), 400);
    return back(c, redirectUri, { code: tokens.issueCode({ accountId: person.accountId, redirectUri, challenge }), state });
  });

  login.post("/login/oauth/access_token", async (c) => {
    const given = await parametersOf(c);
    const answer = (body: Record<string, string | number>) => {
      c.header("cache-control", "no-store");
      if (/\bjson\b/.test(c.req.header("accept") ?? "")) return c.json(body);
      const form = new URLSearchParams();
      for (const [name, value] of Object.entries(body)) form.set(name, String(value));
      return c.body(form.toString(), 200, { "content-type": "application/x-www-form-urlencoded; charset=utf-8" });
    };
    // As on GitHub a refusal is a success that says `error`.
    const fail = (error: keyof typeof tokenErrors) => {
      const error_uri = `${docs}/troubleshooting-oauth-app-access-token-request-errors/#${error.replaceAll("_", "-")}`;
      return answer({ error, error_description: tokenErrors[error], error_uri });
    };
    const succeed = (pair: TokenPair) =>
      answer({
        access_token: pair.accessToken,
        expires_in: pair.expiresInSeconds,
        refresh_token: pair.refreshToken,
        refresh_token_expires_in: pair.refreshExpiresInSeconds,
        scope: "",
        token_type: "bearer",
      });
    const [id, secret] = [given.get("client_id"), given.get("client_secret")];
    if (oauth === null || id !== oauth.clientId || !sameSecret(secret ?? "", oauth.clientSecret)) {
      return fail("incorrect_client_credentials");
    }
    switch (given.get("grant_type") ?? "authorization_code") {
      case "refresh_token": {
        const pair = await tokens.refresh(given.get("refresh_token") ?? "");
        return pair === null ? fail("bad_refresh_token") : succeed(pair);
      }
      case "authorization_code": {
        const [redirectUri, verifier] = [given.get("redirect_uri"), given.get("code_verifier")];
        const proof = { ...(redirectUri === undefined ? {} : { redirectUri }), ...(verifier === undefined ? {} : { verifier }) };
        const exchanged = await tokens.exchange(given.get("code") ?? "", proof);
        return "refused" in exchanged ? fail(exchanged.refused) : succeed(exchanged.pair);
      }
      default:
        return fail("unsupported_grant_type");
    }
  });

  login.get("/avatars/:id", (c) => {
    const account = ports.repositories.accounts().find(({ id }) => String(id) === c.req.param("id"));
    if (account === undefined) return missing(c);
    return c.body(avatarSvg(account.id, account.login), 200, {
      "content-type": "image/svg+xml; charset=utf-8",
      "content-security-policy": "default-src 'none'",
      "x-content-type-options": "nosniff",
      "cache-control": "public, max-age=300",
    });
  });
  login.notFound(missing);
  return login;
}

/** From the query, and from a body that is a form or JSON; the body wins. */
async function parametersOf(c: Context): Promise<Map<string, string>> {
  const text = (await readText(c, bodyMaxBytes)) ?? "";
  const given = new Map(Object.entries(c.req.query()));
  const isJson = /^application\/json\b/.test(c.req.header("content-type") ?? "");
  for (const [name, value] of isJson ? Object.entries(jsonObject(text)) : new URLSearchParams(text)) {
    if (typeof value === "string") given.set(name, value);
  }
  return given;
}

function jsonObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
