/** A world in which people can log in to the app, and the way through the login that a browser takes. */
import { createHash, randomBytes } from "node:crypto";
import { exchangeWebFlowCode } from "@octokit/oauth-methods";
import { Octokit } from "octokit";
import { expect } from "vitest";
import { type GithubEmulatorOptions } from "../../src/github/github.ts";
import { startWorld, type World } from "./support.ts";

export const callback = "http://127.0.0.1:8787/api/auth/github/callback";
export const client = {
  clientType: "github-app",
  clientId: "Iv23liabcdefghijklmn",
  clientSecret: "5f0e2c9b7a6d4e3f1c2b0a9d8e7f6a5b4c3d2e1f",
} as const;
export const oauth = { clientId: client.clientId, clientSecret: client.clientSecret, callbackUrls: [callback] };

export interface LoginWorld extends World {
  /** octokit as an app has it before anybody logged in; `more` goes into each request */
  request(more?: Record<string, string>): Octokit["request"];
  /** Where the app sends people. A value left undefined is not sent. */
  authorizeUrl(query?: Record<string, string | undefined>): string;
  /** Presses a button of the page. Returns the address that the browser is sent to. */
  choose(url: string, button: Record<string, string>): Promise<URL>;
  /** A whole login. */
  logIn(login: string): Promise<{ token: string; refreshToken: string; octokit: Octokit }>;
}

export function newProof() {
  const verifier = randomBytes(32).toString("base64url");
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  return { verifier, query: { code_challenge: challenge, code_challenge_method: "S256" } };
}

export async function startLoginWorld(overrides: Partial<GithubEmulatorOptions> = {}): Promise<LoginWorld> {
  const world = await startWorld({ oauth, ...overrides });
  const { url } = world.github;
  const request: LoginWorld["request"] = (more = {}) => {
    const off = { enabled: false };
    return new Octokit({ baseUrl: url, retry: off, throttle: off }).request.defaults(more);
  };
  const authorizeUrl: LoginWorld["authorizeUrl"] = (query = {}) => {
    const asked = { client_id: client.clientId, redirect_uri: callback, state: "a state", ...query };
    const to = new URL(`${url}/login/oauth/authorize`);
    for (const [name, value] of Object.entries(asked)) if (value !== undefined) to.searchParams.set(name, value);
    return to.href;
  };
  const choose: LoginWorld["choose"] = async (to, button) => {
    const response = await fetch(to, { method: "POST", body: new URLSearchParams(button), redirect: "manual" });
    expect(response.status).toBe(302);
    return new URL(response.headers.get("location") ?? "");
  };
  return {
    ...world,
    request,
    authorizeUrl,
    choose,
    async logIn(login) {
      const { verifier, query } = newProof();
      const sent = await choose(authorizeUrl(query), { person: login });
      const { authentication } = await exchangeWebFlowCode({
        ...client,
        code: sent.searchParams.get("code") ?? "",
        redirectUrl: callback,
        request: request({ code_verifier: verifier }),
      });
      if (!("refreshToken" in authentication)) throw new Error("The token does not expire.");
      const { token, refreshToken } = authentication;
      return { token, refreshToken, octokit: world.withToken(token) };
    },
  };
}
