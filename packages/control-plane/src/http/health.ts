/** `GET /api/health`: whether the database, the gateway and GitHub answer. Open to everybody; says nothing about anybody. */
import { type Health } from "@open-inspect/protocol";
import { type Context } from "hono";
import { dataPlaneOf, gitHubOf } from "../compose.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";

export const version = "0.1.0";

/** answers of the world are kept this long, so that a probe in a loop costs GitHub nothing */
const keepMs = 5_000;
let kept: { at: number; health: Health } | null = null;

export async function health(c: Context<App>): Promise<Response> {
  const now = Date.now();
  if (!kept || now - kept.at > keepMs || kept.health.status !== "ok") kept = { at: now, health: await check(c) };
  return c.json(kept.health);
}

async function check(c: Context<App>): Promise<Health> {
  const config = readConfig(c.env);
  const [database, gateway, github] = await Promise.all([
    c.env.DB.prepare("SELECT 1 FROM repositories LIMIT 1")
      .first()
      .then(
        () => true,
        () => false,
      ),
    dataPlaneOf(config).health(),
    gitHubOf(config).ping(),
  ]);
  const word = (ok: boolean) => (ok ? "ok" : "failing");
  return {
    status: database && gateway.ok && github.ok ? "ok" : "degraded",
    version,
    checks: { database: word(database), gateway: word(gateway.ok), github: word(github.ok) },
    runtimeVersion: gateway.ok ? gateway.value.runtimeVersion : null,
  };
}
