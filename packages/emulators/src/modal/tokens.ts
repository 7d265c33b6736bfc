/** Issues and checks the short-lived JWTs (HS256) that the SDK decodes for their expiry. Pure: time is passed in. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";

const claimsSchema = z.object({ aud: z.enum(["control", "router"]), sub: z.string(), exp: z.number() });
type TokenClaims = z.infer<typeof claimsSchema>;

export interface Tokens {
  /** `sub` is the token id for `control`, the task id for `router` */
  issue(claims: Pick<TokenClaims, "aud" | "sub">, now: number): string;
  /** null: malformed, forged or past its expiry */
  verify(token: string, now: number): TokenClaims | null;
}

export function createTokens(key: Uint8Array, lifeMs: number): Tokens {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const sign = (text: string) => createHmac("sha256", key).update(text).digest();
  return {
    issue: (claims, now) => {
      const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ ...claims, exp: Math.floor((now + lifeMs) / 1000) })}`;
      return `${text}.${sign(text).toString("base64url")}`;
    },
    verify: (token, now) => {
      const [header, payload, signature, ...rest] = token.split(".");
      if (!header || !payload || !signature || rest.length > 0) return null;
      const expected = sign(`${header}.${payload}`);
      const given = Buffer.from(signature, "base64url");
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
      const claims = claimsSchema.safeParse(JSON.parse(Buffer.from(payload, "base64url").toString("utf8")));
      return claims.success && claims.data.exp * 1000 > now ? claims.data : null;
    },
  };
}
