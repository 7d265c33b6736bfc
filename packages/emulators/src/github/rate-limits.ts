/** GitHub's hourly allowance per identity and resource. Pure but for the clock it is given. */
import { type Identity } from "./access.ts";

const windowMs = 3_600_000;

export type Resource = "core" | "graphql";
interface Allowance {
  limit: number;
  used: number;
  remaining: number;
  /** milliseconds since the epoch, on a whole second */
  resetAt: number;
}

export function createRateLimits(ports: { authenticated: number; anonymous: number; now: () => number }) {
  const windows = new Map<string, { used: number; resetAt: number }>();
  const keyOf = (identity: Identity, resource: Resource) => {
    return `${whoOf(identity)}/${resource}`;
  };
  const current = (identity: Identity, resource: Resource) => {
    const key = keyOf(identity, resource);
    let window = windows.get(key);
    if (window === undefined || window.resetAt <= ports.now()) {
      window = { used: 0, resetAt: Math.ceil((ports.now() + windowMs) / 1000) * 1000 };
      windows.set(key, window);
    }
    return window;
  };
  const read = (identity: Identity, resource: Resource): Allowance => {
    const { used, resetAt } = current(identity, resource);
    const limit = identity.kind === "anonymous" ? (resource === "graphql" ? 0 : ports.anonymous) : ports.authenticated;
    return { limit, used: Math.min(used, limit), remaining: Math.max(0, limit - used), resetAt };
  };
  return {
    read,
    spend(identity: Identity, resource: Resource): Allowance {
      current(identity, resource).used++;
      return read(identity, resource);
    },
  };
}

function whoOf(identity: Identity): string {
  if (identity.kind === "installation") return `installation:${identity.token.installationId}`;
  return identity.kind === "user" ? `user:${identity.person.accountId}` : identity.kind;
}

/** One entry of `GET /rate_limit`. */
export function allowanceShape(allowance: Allowance) {
  const { limit, used, remaining, resetAt } = allowance;
  return { limit, used, remaining, reset: resetAt / 1000 };
}
