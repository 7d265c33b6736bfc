/** Failures that tests ask for: which calls fail, wait or never answer. Knows nothing of HTTP. */
import { setTimeout as delay } from "node:timers/promises";
import { ServerError, type ServerMiddleware, Status } from "nice-grpc";
import { z } from "zod";

const longestLatencyMs = 10 * 60 * 1000;

export const faultSchema = z.intersection(
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
type Fault = z.infer<typeof faultSchema>;

export interface Faults {
  add(fault: Fault): void;
  clear(): void;
  list(): Fault[];
  middleware: ServerMiddleware;
}

export function createFaults(): Faults {
  let faults: Fault[] = [];

  function take(method: string): Fault | null {
    const fault = faults.find((each) => each.method === method || each.method === "*");
    if (!fault) return null;
    fault.times -= 1;
    faults = faults.filter((each) => each.times > 0);
    return fault;
  }

  async function strike(fault: Fault, signal: AbortSignal): Promise<void> {
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
    middleware: async function* (call, context) {
      const fault = take(call.method.path.split("/").at(-1) ?? "");
      if (fault?.when === "before") await strike(fault, context.signal);
      const answer = yield* call.next(call.request, context);
      if (fault?.when === "after") await strike(fault, context.signal);
      return answer;
    },
  };
}
