/**
 * The two cookies of a login: the one that a browser is known by, and the sealed one that binds a login under way to the browser in which it
 * began. No script reads them. On https their names are bound to this host alone; over plain http they exist on loopback only.
 */
import { type Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import { isSecret } from "../adapters/login-secrets.ts";
import { createSealer } from "../adapters/sealed.ts";
import { deadlines } from "../domain/deadlines.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";

const loopbackHosts: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);
export const isLoopback = ({ hostname }: URL): boolean => loopbackHosts.has(hostname);

const loginName = "openinspect";
const returnName = "openinspect-login";

const urlOf = (c: Context<App>): URL => new URL(c.req.url);
const isHttps = (c: Context<App>): boolean => urlOf(c).protocol === "https:";
/** Whether a cookie would stay between the browser and us. */
export const mayCarryLogin = (c: Context<App>): boolean => isHttps(c) || isLoopback(urlOf(c));

const attributesOf = (c: Context<App>) => ({
  ...({ path: "/", httpOnly: true, sameSite: "Lax" } as const),
  ...(isHttps(c) ? ({ prefix: "host", secure: true } as const) : {}),
});

function read(c: Context<App>, name: string): string | null {
  if (!mayCarryLogin(c)) return null;
  return (isHttps(c) ? getCookie(c, name, "host") : getCookie(c, name)) ?? null;
}
const set = (c: Context<App>, name: string, value: string, lifeMs: number) =>
  setCookie(c, name, value, { ...attributesOf(c), maxAge: lifeMs / 1_000 });

export function readLoginCookie(c: Context<App>): string | null {
  const value = read(c, loginName);
  return value !== null && isSecret(value) ? value : null;
}
export const setLoginCookie = (c: Context<App>, secret: string): void => set(c, loginName, secret, deadlines.loginMs);
export const clearLoginCookie = (c: Context<App>): void => void deleteCookie(c, loginName, attributesOf(c));

const underWaySchema = z.object({ state: z.string(), verifier: z.string(), returnTo: z.string(), at: z.number() });
/** A login that has left for GitHub. */
export type LoginUnderWay = z.infer<typeof underWaySchema>;
const sealerOf = (c: Context<App>) => createSealer(readConfig(c.env).MODAL_API_SECRET, "login under way");
const sealedMax = 4_000;

export async function setUnderWay(c: Context<App>, login: LoginUnderWay): Promise<void> {
  set(c, returnName, await sealerOf(c).seal(JSON.stringify(login)), deadlines.loginReturnMs);
}

/** The login that began in this browser, once; null: none did, or too long ago. */
export async function takeUnderWay(c: Context<App>): Promise<LoginUnderWay | null> {
  const sealed = read(c, returnName);
  if (sealed === null || sealed.length > sealedMax) return null;
  deleteCookie(c, returnName, attributesOf(c));
  try {
    const login = underWaySchema.parse(JSON.parse(await sealerOf(c).open(sealed)));
    return Date.now() - login.at < deadlines.loginReturnMs ? login : null;
  } catch {
    // Somebody else's, or sealed before the secret changed.
    return null;
  }
}
