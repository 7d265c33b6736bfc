/** Headers of every answer, the single page's assets included. */
import { createMiddleware } from "hono/factory";
import { type App } from "./app-types.ts";

const headers: Record<string, string> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

export const securityHeaders = createMiddleware<App>(async (c, next) => {
  await next();
  if (c.res.status === 101) return;
  // Attachments bring a stricter policy of their own.
  const policy = c.res.headers.get("content-security-policy");
  for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value);
  if (policy !== null) c.res.headers.set("content-security-policy", policy);
  if (c.req.path.startsWith("/api/")) c.res.headers.set("cache-control", "no-store");
});
