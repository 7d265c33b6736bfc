/**
 * Who is asking, from an Authorization header, and what they may do to a repository.
 * App JWTs and installation tokens are checked in app-tokens.ts; here the answers come together.
 *
 * Stricter than GitHub in one thing: an installation token sees only its own repositories even where others are public,
 * so that a token used outside of its scope is found in development.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type AppTokens, appPermissions, hashToken } from "./app-tokens.ts";
import { type People, type Person } from "./people.ts";
import { type Repository } from "./repositories.ts";
import { type Account, type Permissions, type TokenRecord } from "./state.ts";
import { type UserTokens } from "./user-tokens.ts";

export type Identity =
  | { kind: "anonymous" }
  | { kind: "app" }
  | { kind: "installation"; token: TokenRecord }
  /** the app for somebody who logged in to it: what both of them may do */
  | { kind: "user"; person: Person }
  /** the person whose own token owns everything */
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
  userTokens: UserTokens;
  people: People;
  accounts: () => readonly Account[];
  person: { login: string; token: string };
}) {
  const personHash = digest(ports.person.token);
  /** What an app's user may do: to read, a public repository is open to everybody. */
  const asUser = (person: Person, repository: Repository, needs: "nothing" | keyof typeof appPermissions): Decision => {
    const level = ports.people.levelOf(person.accountId, repository);
    const { owner, granted } = repository;
    const isShared = level !== null && owner.installed && owner.suspendedAt === null && granted;
    if (!isShared && repository.private) return "hidden";
    if (needs === "nothing") return "yes";
    const permissions: Permissions = appPermissions;
    return isShared && level === "push" && permissions[needs] === "write" ? "yes" : "denied";
  };
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
      const userToken = ports.userTokens.find(hashToken(credential));
      const user = userToken && ports.people.byAccount(userToken.accountId);
      if (user !== null) return { identity: { kind: "user", person: user } };
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
        case "user":
          return asUser(identity.person, repository, "nothing");
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
        case "user":
          return asUser(identity.person, repository, "contents");
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
        case "user":
          return asUser(identity.person, repository, level === "read" ? "nothing" : "pull_requests");
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
