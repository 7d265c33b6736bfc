/** Failures that tests ask for: which calls fail, wait or never answer, and whose disk is full. Knows nothing of HTTP. */
import { setTimeout as delay } from "node:timers/promises";
import { ServerError, type ServerMiddleware, Status } from "nice-grpc";
import { z } from "zod";

const longestLatencyMs = 10 * 60 * 1000;
/** A disk in memory needs a few pages for its own. */
const smallestDiskBytes = 64 * 1024;
const largestDiskBytes = 1024 * 1024 * 1024;

const callFaultSchema = z.intersection(
  z.object({
    /** the RPC's name as in the proto, `SandboxCreateV2`; `*` for all */
    method: z.string().min(1),
    /** how many calls it hits */
    times: z.number().int().positive().max(1_000_000).default(1),
    /** `after`: the call has its effect, only its answer is replaced or late. For streams: at their end. */
    when: z.enum(["before", "after"]).default("before"),
  }),
  z.discriminatedUnion("kind", [
    z.object({
      kind: z.literal("error"),
      /** a gRPC status by number (14) or name (`UNAVAILABLE`) */
      code: z.union([
        z.number().int().min(1).max(16),
        z.string().transform((name, context) => {
          const found = Object.entries(Status).find(([key, value]) => key === name && typeof value === "number");
          if (found && typeof found[1] === "number") return found[1];
          context.addIssue(`unknown gRPC status ${name}`);
          return z.NEVER;
        }),
      ]),
      message: z.string().default("Injected failure."),
    }),
    z.object({ kind: z.literal("latency"), ms: z.number().nonnegative().max(longestLatencyMs) }),
    z.object({ kind: z.literal("hang") }),
  ]),
);
type CallFault = z.infer<typeof callFaultSchema>;

/** The next sandboxes that have these tags get a disk that is full after so many bytes: writing then fails with ENOSPC. */
const diskFaultSchema = z.object({
  kind: z.literal("disk_full"),
  times: z.number().int().positive().max(1_000_000).default(1),
  bytes: z.number().int().min(smallestDiskBytes).max(largestDiskBytes).default(smallestDiskBytes),
  tags: z.record(z.string(), z.string()).default({}),
});

type DiskFault = z.infer<typeof diskFaultSchema>;

/** Calls above the rate are refused with RESOURCE_EXHAUSTED and have no effect, until the faults are cleared. */
const rateFaultSchema = z.object({
  kind: z.literal("rate_limit"),
  /** the RPC's name */
  method: z.string().min(1),
  perSecond: z.number().positive().max(1_000_000),
  /** calls that pass at once after a rest */
  burst: z.number().int().positive().max(1_000_000).default(1),
});
type RateFault = z.infer<typeof rateFaultSchema>;

export const faultSchema = z.union([diskFaultSchema, rateFaultSchema, callFaultSchema]);
type Fault = z.infer<typeof faultSchema>;

export interface Faults {
  add(fault: Fault): void;
  clear(): void;
  list(): Fault[];
  middleware: ServerMiddleware;
  /** the size of a new sandbox's disk; null: not limited */
  takeDisk(tags: Record<string, string>): number | null;
}

export function createFaults(): Faults {
  let faults: Fault[] = [];
  /** what is left of each rate's burst, and when that was counted */
  const buckets = new WeakMap<RateFault, { left: number; at: number }>();

  function limitRate(method: string): void {
    for (const fault of faults) {
      if (fault.kind !== "rate_limit" || fault.method !== method) continue;
      const now = performance.now();
      const { left, at } = buckets.get(fault) ?? { left: fault.burst, at: now };
      const refilled = Math.min(fault.burst, left + ((now - at) / 1_000) * fault.perSecond);
      buckets.set(fault, { left: refilled < 1 ? refilled : refilled - 1, at: now });
      if (refilled < 1) throw new ServerError(Status.RESOURCE_EXHAUSTED, `Rate limit of ${method} exceeded.`);
    }
  }

  function use<Kind extends CallFault | DiskFault>(fault: Kind | undefined): Kind | null {
    if (!fault) return null;
    fault.times -= 1;
    faults = faults.filter((each) => each.kind === "rate_limit" || each.times > 0);
    return fault;
  }
  const take = (method: string) =>
    use(faults.find((each): each is CallFault => isCallFault(each) && (each.method === method || each.method === "*")));

  async function strike(fault: CallFault, signal: AbortSignal): Promise<void> {
    if (fault.kind === "error") throw new ServerError(fault.code, fault.message);
    if (fault.kind === "latency") return void (await delay(fault.ms, null, { signal }));
    // the caller's going away or the server's stop ends it
    await new Promise<never>((_resolve, reject) => {
      const stop = () => reject(new DOMException("The call was cancelled.", "AbortError"));
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
  }

  return {
    add: (fault) => void faults.push({ ...fault }),
    clear: () => {
      faults = [];
    },
    list: () => faults,
    takeDisk: (tags) => {
      const fits = (fault: Fault): fault is DiskFault =>
        fault.kind === "disk_full" && Object.entries(fault.tags).every(([name, value]) => tags[name] === value);
      return use(faults.find(fits))?.bytes ?? null;
    },
    middleware: async function* (call, context) {
      const method = call.method.path.split("/").at(-1) ?? "";
      limitRate(method);
      const fault = take(method);
      if (fault?.when === "before") await strike(fault, context.signal);
      const answer = yield* call.next(call.request, context);
      if (fault?.when === "after") await strike(fault, context.signal);
      return answer;
    },
  };
}

const isCallFault = (fault: Fault): fault is CallFault => fault.kind !== "disk_full" && fault.kind !== "rate_limit";
