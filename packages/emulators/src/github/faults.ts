/**
 * Failures on demand, and a count of what was asked: what a test needs to see a client survive GitHub's bad days.
 * Works on the raw exchange, before anything else looks at it.
 */
import { type IncomingMessage, type ServerResponse } from "node:http";
import { z } from "zod";

const faultsMax = 100;
const hangMaxMs = 600_000;

/**
 * `match`: `git-upload-pack` or `git-receive-pack` (the ref listing and the transfer; add `:advertisement` or `:rpc` for one of
 * the two), `rest` or `rest:/path-prefix`, `login` (the pages and the token endpoint below `/login/`) in the same way, `graphql`. `status` answers `code`; `cut` breaks the connection: before any answer,
 * or after `afterBytes` of its body when that is not 0; `hang` never answers; `latency` waits `latencyMs` and goes on.
 */
export const faultSchema = z.strictObject({
  match: z.string().regex(/^(git-(upload|receive)-pack(:(advertisement|rpc))?|(rest|login)(:\/.*)?|graphql)$/),
  kind: z.enum(["status", "hang", "cut", "latency"]),
  times: z.number().int().min(1).max(1_000_000).default(1),
  code: z.number().int().min(400).max(599).default(500),
  headers: z.record(z.string().regex(/^[a-z0-9-]+$/i), z.string().regex(/^[^\r\n]*$/)).default({}),
  afterBytes: z.number().int().nonnegative().default(0),
  latencyMs: z.number().int().min(0).max(hangMaxMs).default(1000),
  /** `owner/name`: only for this repository of git */
  repository: z.string().optional(),
});
type Fault = z.infer<typeof faultSchema>;

/** What a request is, for matching and counting. */
export interface RequestKind {
  kind: "git-upload-pack" | "git-receive-pack" | "rest" | "login" | "graphql";
  phase?: "advertisement" | "rpc";
  path: string;
  repository?: string;
}

function matches(fault: Fault, request: RequestKind): boolean {
  if (fault.repository !== undefined && fault.repository.toLowerCase() !== request.repository?.toLowerCase()) return false;
  const [kind, ...rest] = fault.match.split(":");
  const detail = rest.join(":");
  if (kind !== request.kind) return false;
  if (detail === "") return true;
  return kind === "rest" || kind === "login" ? request.path.startsWith(detail) : detail === request.phase;
}

export function createFaults() {
  let faults: Fault[] = [];
  let counts: Record<string, number> = {};
  const hanging = new Set<ServerResponse>();
  const count = (key: string) => {
    counts[key] = (counts[key] ?? 0) + 1;
  };

  return {
    list: () => faults,
    counts: () => counts,
    count,
    resetCounts() {
      counts = {};
    },
    /** False when there are too many already. */
    add(fault: Fault): boolean {
      if (faults.length >= faultsMax) return false;
      faults.push({ ...fault });
      return true;
    },
    /** Removes the faults with this match, or all, and lets go of what hangs. */
    remove(match: string | null) {
      faults = match === null ? [] : faults.filter((fault) => fault.match !== match);
      for (const res of hanging) res.destroy();
    },
    /** Applies the first fault that matches. False: the request is dealt with. */
    async pass(req: IncomingMessage, res: ServerResponse, request: RequestKind): Promise<boolean> {
      count(request.kind);
      const fault = faults.find((candidate) => matches(candidate, request));
      if (fault === undefined) return true;
      fault.times -= 1;
      if (fault.times <= 0) faults = faults.filter((candidate) => candidate !== fault);
      count(`fault:${fault.kind}`);
      switch (fault.kind) {
        case "latency":
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, fault.latencyMs);
            res.once("close", () => {
              clearTimeout(timer);
              resolve();
            });
          });
          return !res.destroyed;
        case "status":
          res.writeHead(fault.code, { "content-type": "application/json; charset=utf-8", ...fault.headers });
          res.end(JSON.stringify({ message: "Injected failure", documentation_url: "https://docs.github.com/rest" }));
          req.resume();
          return false;
        case "hang": {
          hanging.add(res);
          const timer = setTimeout(() => res.destroy(), hangMaxMs);
          res.once("close", () => {
            clearTimeout(timer);
            hanging.delete(res);
          });
          req.resume();
          return false;
        }
        case "cut":
          if (fault.afterBytes === 0) {
            res.destroy();
            return false;
          }
          cutAfter(res, fault.afterBytes);
          return true;
      }
    },
  };
}
export type Faults = ReturnType<typeof createFaults>;

/** Lets the head and `bytes` of the body through, then breaks the connection. */
function cutAfter(res: ServerResponse, bytes: number): void {
  let left = bytes;
  const write = res.write.bind(res);
  const pass = (chunk: unknown): boolean => {
    const body = typeof chunk === "string" || chunk instanceof Uint8Array ? Buffer.from(chunk) : Buffer.alloc(0);
    const part = body.subarray(0, left);
    left -= part.byteLength;
    if (part.byteLength === body.byteLength && left > 0) return write(part);
    write(part, () => res.destroy());
    return true;
  };
  res.write = (chunk: unknown) => pass(chunk);
  res.end = (chunk?: unknown) => {
    if (chunk !== undefined && typeof chunk !== "function") pass(chunk);
    // A body shorter than the cut ends early all the same.
    setImmediate(() => res.destroy());
    return res;
  };
}
