/** Who may use the API: whoever is logged in with GitHub, else the developer identity on the loopback interface. Also what keeps other sites' pages out. */
import { type Context } from "hono";
import { createMiddleware } from "hono/factory";
import { hashOf } from "../adapters/login-secrets.ts";
import { personOfUser } from "../domain/login.ts";
import { readConfig } from "../env.ts";
import { loginsOf } from "../logins.ts";
import { type App, type Caller } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { isLoopback, readLoginCookie } from "./login-cookies.ts";

/**
 * The cookie's person, else the developer identity. The request's own host has to be a loopback name for the latter, so a name that was rebound
 * to 127.0.0.1 does not pass.
 */
export async function findCaller(c: Context<App>): Promise<Caller | { nobody: "not_logged_in" | "unproven" }> {
  const secret = readLoginCookie(c);
  const logins = secret === null ? null : loginsOf(c.env);
  let nobody: "not_logged_in" | "unproven" = "not_logged_in";
  if (secret !== null && logins) {
    const found = await logins.find(await hashOf(secret), (work) => c.executionCtx.waitUntil(work));
    if ("row" in found) {
      const { row } = found;
      return { person: personOfUser(row), via: "github", avatarUrl: row.avatarUrl, githubId: row.githubId };
    }
    nobody = found.nobody;
  }
  const { DEVELOPER_IDENTITY: name } = readConfig(c.env);
  if (!name || !isLoopback(new URL(c.req.url))) return { nobody };
  return { person: { name, email: null, login: null }, via: "developer", avatarUrl: null, githubId: null };
}

/** Browsers say where a request comes from when it is a socket's or changes something. */
export const requireSameOrigin = createMiddleware<App>(async (c, next) => {
  const origin = c.req.header("origin");
  if (origin !== undefined && origin !== new URL(c.req.url).origin) {
    throw new ApiError("forbidden", `Requests from ${origin} are not allowed.`, "Use the page that this server serves.");
  }
  await next();
});

/** Sets `caller` and `person`. */
export const requirePerson = createMiddleware<App>(async (c, next) => {
  const caller = await findCaller(c);
  if ("nobody" in caller) throw unauthorized(c, caller.nobody);
  c.set("caller", caller);
  c.set("person", caller.person.login ?? caller.person.name);
  await next();
});

function unauthorized(c: Context<App>, nobody: "not_logged_in" | "unproven"): ApiError {
  if (nobody === "unproven") {
    const sentence = "GitHub has not said for hours whether you may still be here, and does not answer.";
    return new ApiError("unauthorized", sentence, "Try again when GitHub answers.");
  }
  const hint = loginsOf(c.env)
    ? "Log in with GitHub: open /login in your browser."
    : "On your own machine set DEVELOPER_IDENTITY and open the page under http://127.0.0.1 or http://localhost; elsewhere set up the login, as docs/deploy.md says.";
  return new ApiError("unauthorized", "Nobody is logged in.", hint);
}

/** A page of another site can send forms, but no JSON without being asked first. */
export const requireJson = createMiddleware<App>(async (c, next) => {
  const { method } = c.req;
  const type = c.req.header("content-type");
  const json = type !== undefined && /^application\/json\s*(;|$)/i.test(type);
  const hasBody = Number(c.req.header("content-length") ?? 0) > 0 || c.req.header("transfer-encoding") !== undefined;
  if (method !== "GET" && method !== "HEAD" && !json && (type !== undefined || hasBody)) {
    throw new ApiError(
      "invalid_request",
      "The content type is not application/json.",
      "Send the header content-type: application/json.",
    );
  }
  await next();
});
