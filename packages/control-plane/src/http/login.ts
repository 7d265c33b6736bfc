/** Who asks, the login with GitHub and its end. The way to GitHub and back is a browser's: what goes wrong there is told by the page `/login`. */
import { type LoggedOut, type LoginError, type Me } from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { type LoginFailure } from "../adapters/github-login.ts";
import { createLog } from "../adapters/log.ts";
import { challengeOf, hashOf, newSecret } from "../adapters/login-secrets.ts";
import { returnPathOf } from "../domain/login.ts";
import { type Logins, loginsOf } from "../logins.ts";
import { type App } from "./app-types.ts";
import { findCaller, requireJson, requireSameOrigin } from "./auth.ts";
import { ApiError } from "./errors.ts";
import {
  clearLoginCookie,
  type LoginUnderWay,
  mayCarryLogin,
  readLoginCookie,
  setLoginCookie,
  setUnderWay,
  takeUnderWay,
} from "./login-cookies.ts";

const log = createLog({ part: "login" });
const codeMax = 500;

const originOf = (c: Context<App>): string => new URL(c.req.url).origin;
const callbackOf = (c: Context<App>): string => `${originOf(c)}/api/auth/github/callback`;
const background = (c: Context<App>) => (work: Promise<unknown>) => c.executionCtx.waitUntil(work);

export const login = new Hono<App>()
  .get("/me", async (c) => {
    const caller = await findCaller(c);
    const canLogIn = loginsOf(c.env) !== null && mayCarryLogin(c);
    if ("nobody" in caller) return c.json({ person: null, via: null, avatarUrl: null, canLogIn } satisfies Me);
    const { person, via, avatarUrl } = caller;
    return c.json({ person, via, avatarUrl, canLogIn } satisfies Me);
  })
  .get("/auth/github", async (c) => {
    const logins = loginsOf(c.env);
    if (!logins) throw new ApiError("not_found", "This installation offers no login.", "docs/deploy.md says how to set it up.");
    if (!mayCarryLogin(c)) {
      throw new ApiError("forbidden", "A login over plain http could be read by others.", "Open the page under https.");
    }
    const returnTo = returnPathOf(c.req.query("return"), originOf(c));
    const underWay = { state: newSecret(), verifier: newSecret(), returnTo, at: Date.now() };
    await setUnderWay(c, underWay);
    const challenge = await challengeOf(underWay.verifier);
    return c.redirect(logins.github.authorizeUrl({ redirectUrl: callbackOf(c), state: underWay.state, challenge }), 302);
  })
  .get("/auth/github/callback", async (c) => {
    const logins = loginsOf(c.env);
    const underWay = logins && (await takeUnderWay(c));
    const outcome = logins && underWay ? await comeBack(c, logins, underWay) : "expired";
    const back = underWay?.returnTo ?? "/";
    if (outcome === "in") return c.redirect(back, 302);
    log.info("login.failed", { outcome });
    return c.redirect(`/login?${new URLSearchParams({ error: outcome, ...(back === "/" ? {} : { return: back }) })}`, 302);
  })
  .post("/auth/logout", requireSameOrigin, requireJson, async (c) => {
    const secret = readLoginCookie(c);
    const loggedOut = secret !== null && (await loginsOf(c.env)?.logOut(await hashOf(secret), background(c))) === true;
    clearLoginCookie(c);
    return c.json({ loggedOut } satisfies LoggedOut);
  });

/** The browser is back from GitHub with a code or a no. */
async function comeBack(c: Context<App>, logins: Logins, underWay: LoginUnderWay): Promise<"in" | LoginError> {
  const { state, code = "", error } = c.req.query();
  // Another browser's login, or one that somebody else began and has sent here.
  if (state !== underWay.state) return "expired";
  if (error === "access_denied") return "denied";
  if (error !== undefined) {
    log.error("login.refused", { error: error.slice(0, 100) });
    return "github_unavailable";
  }
  if (code === "" || code.length > codeMax) return "expired";
  const { success } = await c.env.LOGIN_RATE.limit({ key: c.req.header("cf-connecting-ip") ?? "unknown" });
  if (!success) throw new ApiError("rate_limited", "There were too many logins from here.", "Try again in a minute.");

  const { verifier } = underWay;
  const tokens = await logins.github.exchange({ code, verifier, redirectUrl: callbackOf(c) });
  if (!tokens.ok) return tokens.error.kind === "refused" ? "expired" : unavailable("exchange", tokens.error);
  const { access } = tokens.value;
  const [user, allowed] = await Promise.all([logins.github.whoIs(access), logins.mayAccess(access)]);
  if (!user.ok || !allowed.ok || !allowed.value) {
    background(c)(logins.end(access));
    if (!user.ok) return unavailable("user", user.error);
    return allowed.ok ? "not_allowed" : unavailable("installations", allowed.error);
  }
  const secret = newSecret();
  const former = readLoginCookie(c);
  const replaces = former === null ? null : await hashOf(former);
  await logins.logIn(user.value, tokens.value, { hash: await hashOf(secret), replaces });
  setLoginCookie(c, secret);
  return "in";
}

function unavailable(step: string, { message }: LoginFailure): "github_unavailable" {
  log.warn("login.unavailable", { step, cause: message });
  return "github_unavailable";
}
