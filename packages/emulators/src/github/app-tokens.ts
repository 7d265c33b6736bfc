/**
 * The GitHub App's two credentials: checks the JWT that the app signs, and issues, finds and revokes installation tokens.
 * Tokens are kept as hashes. Does not know HTTP.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes, verify } from "node:crypto";
import { z } from "zod";
import { type Permissions, type StateFile, type TokenRecord } from "./state.ts";

export const hashToken = (token: string) => createHash("sha256").update(token).digest("hex");
const tokenLifetimeMs = 60 * 60 * 1000;
const jwtLifetimeMaxSeconds = 600;
/** GitHub allows for clocks that differ a little. */
const clockSkewSeconds = 60;

/** What the app may do at most wherever it is installed. */
export const appPermissions = { contents: "write", metadata: "read", pull_requests: "write" } as const satisfies Permissions;
export const appEvents = ["push", "repository", "pull_request"];

const headerSchema = z.object({ alg: z.literal("RS256") });
const claimsSchema = z.object({
  iat: z.unknown().optional(),
  exp: z.unknown().optional(),
  iss: z.union([z.string(), z.number()]),
});

export interface AppTokens {
  /** null when the JWT proves the app; otherwise GitHub's own sentence for what is wrong with it. */
  refusalOfJwt(jwt: string): string | null;
  issue(
    grant: Pick<TokenRecord, "installationId" | "repositoryIds" | "permissions">,
  ): Promise<{ token: string; expiresAt: number }>;
  /** The living token with this hash. */
  find(hash: string): TokenRecord | null;
  revoke(hash: string): Promise<void>;
  /** Every token of an installation that was taken off. */
  revokeAll(installationId: number): Promise<void>;
}

/** @param keyPem the app's public key, or its private key, of which the public half is taken */
export function createAppTokens(ports: { file: StateFile; appId: number; keyPem: string; now: () => number }): AppTokens {
  const key: KeyObject = createPublicKey(ports.keyPem);
  const { state } = ports.file;

  return {
    refusalOfJwt(jwt) {
      const undecodable = "A JSON web token could not be decoded";
      const [header = "", payload = "", signature = ""] = jwt.split(".");
      const part = (text: string): unknown => {
        try {
          return JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
        } catch {
          return null;
        }
      };
      const claims = claimsSchema.safeParse(part(payload));
      if (!headerSchema.safeParse(part(header)).success || !claims.success) return undecodable;
      const signed = verify("RSA-SHA256", Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, "base64url"));
      if (!signed) return undecodable;
      const nowSeconds = Math.floor(ports.now() / 1000);
      const { iat, exp, iss } = claims.data;
      if (typeof iat !== "number" || !Number.isInteger(iat) || iat > nowSeconds + clockSkewSeconds) {
        return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
      }
      if (typeof exp !== "number" || exp <= nowSeconds) {
        return "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
      }
      if (exp > nowSeconds + jwtLifetimeMaxSeconds) return "'Expiration time' claim ('exp') is too far in the future";
      return String(iss) === String(ports.appId) ? null : "Integration must generate a public key";
    },

    async issue(grant) {
      const now = ports.now();
      const token = `ghs_${randomBytes(48).toString("base64url").replace(/[-_]/g, "0").slice(0, 36)}`;
      // GitHub's times have no fraction of a second.
      const expiresAt = Math.floor((now + tokenLifetimeMs) / 1000) * 1000;
      state.tokens = state.tokens.filter((entry) => entry.expiresAt > now);
      state.tokens.push({ ...grant, hash: hashToken(token), expiresAt });
      await ports.file.save();
      return { token, expiresAt };
    },

    find: (hash) => state.tokens.find((entry) => entry.hash === hash && entry.expiresAt > ports.now()) ?? null,

    async revoke(hash) {
      state.tokens = state.tokens.filter((entry) => entry.hash !== hash);
      await ports.file.save();
    },

    async revokeAll(installationId) {
      state.tokens = state.tokens.filter((entry) => entry.installationId !== installationId);
      await ports.file.save();
    },
  };
}
