/** Who may use the API: the developer identity, on the loopback interface only. Also what keeps other sites' pages out. */
import { createMiddleware } from "hono/factory";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";

const loopbackHosts: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** Sets `person`. The request's own host has to be a loopback name, so a name that was rebound to 127.0.0.1 does not pass. */
export const requirePerson = createMiddleware<App>(async (c, next) => {
  const { DEVELOPER_IDENTITY } = readConfig(c.env);
  const url = new URL(c.req.url);
  if (!DEVELOPER_IDENTITY || !loopbackHosts.has(url.hostname)) {
    throw new ApiError(
      "unauthorized",
      "Nobody is logged in.",
      "On your own machine set DEVELOPER_IDENTITY and open the page under http://127.0.0.1 or http://localhost.",
    );
  }
  const origin = c.req.header("origin");
  if (origin !== undefined && origin !== url.origin) {
    throw new ApiError("forbidden", `Requests from ${origin} are not allowed.`, "Use the page that this server serves.");
  }
  c.set("person", DEVELOPER_IDENTITY);
  await next();
});

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
