/** `GET /api/openapi.json`: the document of this API. Open to everybody: it says nothing about anybody. */
import { createOpenApi, type JsonObject } from "@open-inspect/protocol";
import { type Context } from "hono";
import { type App } from "./app-types.ts";
import { version } from "./health.ts";

let made: { origin: string; document: JsonObject } | null = null;

export function openApi(c: Context<App>): Response {
  const { origin } = new URL(c.req.url);
  if (made?.origin !== origin) made = { origin, document: createOpenApi({ origin, version }) };
  return c.json(made.document);
}
