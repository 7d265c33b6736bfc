/**
 * Who is asking, from an Authorization header, and what they may do to a repository.
 * App JWTs and installation tokens are checked in app-tokens.ts; here the answers come together.
 *
 * Stricter than GitHub in one thing: an installation token sees only its own repositories even where others are public,
 * so that a token used outside of its scope is found in development.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type AppTokens, hashToken } from "./app-tokens.ts";
import { type Repository } from "./repositories.ts";
import { type Account, type TokenRecord } from "./state.ts";

export type Identity =
  | { kind: "anonymous" }
  | { kind: "app" }
  | { kind: "installation"; token: TokenRecord }
  | { kind: "person"; login: string };
/** 401: the credential is none. 403: it is one, of an installation that is suspended. */
type Identified = { identity: Identity } | { refused: string; status: 401 | 403 };

/** `hidden` is answered as if the repository did not exist. */
export type Decision = "yes" | "hidden" | "denied";

export const suspendedRefusal = "This installation has been suspended";

const digest = (text: string) => createHash("sha256").update(text).digest();

/** The secret in `Bearer x`, `token x` or `Basic user:x`; null when there is none. */
function credentialOf(authorization: string | undefined): string | null {
  const [, scheme = "", value = ""] = /^(\S+)\s+(\S+)\s*$/.exec(authorization ?? "") ?? [];
  if (/^(bearer|token)$/i.test(scheme)) return value;
  if (!/^basic$/i.test(scheme)) return null;
  const [user = "", ...rest] = Buffer.from(value, "base64").toString("utf8").split(":");
  const password = rest.join(":");
  // Both `x-access-token:TOKEN` and the older `TOKEN:x-oauth-basic` are in use.
  return password === "" || password === "x-oauth-basic" ? user || null : password;
}

export function createAccess(ports: {
  tokens: AppTokens;
  accounts: () => readonly Account[];
  person: { login: string; token: string };
}) {
  const personHash = digest(ports.person.token);
  return {
    identify(authorization: string | undefined): Identified {
      if (authorization === undefined || authorization === "") return { identity: { kind: "anonymous" } };
      const credential = credentialOf(authorization);
      if (credential === null) return { refused: "Bad credentials", status: 401 };
      if (timingSafeEqual(digest(credential), personHash)) return { identity: { kind: "person", login: ports.person.login } };
      if (credential.split(".").length === 3) {
        const refused = ports.tokens.refusalOfJwt(credential);
        return refused === null ? { identity: { kind: "app" } } : { refused, status: 401 };
      }
      const token = ports.tokens.find(hashToken(credential));
      if (token === null) return { refused: "Bad credentials", status: 401 };
      const isSuspended = ports
        .accounts()
        .some((account) => account.installationId === token.installationId && account.suspendedAt !== null);
      return isSuspended ? { refused: suspendedRefusal, status: 403 } : { identity: { kind: "installation", token } };
    },

    /** `metadata`: that it exists, and its settings. `contents`: commits and files. */
    mayRead(identity: Identity, repository: Repository, what: "metadata" | "contents"): Decision {
      switch (identity.kind) {
        case "person":
          return "yes";
        case "installation":
          if (!covers(identity.token, repository)) return "hidden";
          return what === "metadata" || identity.token.permissions.contents !== undefined ? "yes" : "denied";
        case "app":
          return repository.private ? "hidden" : "denied";
        case "anonymous":
          return repository.private ? "hidden" : "yes";
      }
    },

    mayPush(identity: Identity, repository: Repository): Decision {
      switch (identity.kind) {
        case "person":
          return "yes";
        case "installation":
          if (!covers(identity.token, repository)) return "hidden";
          return identity.token.permissions.contents === "write" ? "yes" : "denied";
        case "app":
        case "anonymous":
          return repository.private ? "hidden" : "denied";
      }
    },

    /** Reads pull requests, or opens and changes them. */
    mayUsePulls(identity: Identity, repository: Repository, level: "read" | "write"): Decision {
      switch (identity.kind) {
        case "person":
          return "yes";
        case "installation": {
          if (!covers(identity.token, repository)) return "hidden";
          const granted = identity.token.permissions.pull_requests;
          return granted === "write" || (granted === "read" && level === "read") ? "yes" : "denied";
        }
        case "app":
          return repository.private ? "hidden" : "denied";
        case "anonymous":
          if (repository.private) return "hidden";
          return level === "read" ? "yes" : "denied";
      }
    },
  };
}
export type Access = ReturnType<typeof createAccess>;

export function covers(token: TokenRecord, repository: Repository): boolean {
  return (
    repository.owner.installationId === token.installationId &&
    repository.granted &&
    (token.repositoryIds === null || token.repositoryIds.includes(repository.id))
  );
}
