/** One world for a test file, with a gateway in it and the steps that most tests begin with. */
import { type SandboxLogs } from "@open-inspect/protocol";
import { afterAll, beforeAll, expect } from "vitest";
import { type GatewayClient } from "../src/client.ts";
import { bridgeToken, config, freshName, fromBase, modelToken, secret } from "./requests.ts";
import { eventually, type RunningGateway, startWorld, succeeded, type World } from "./world.ts";

export interface UsedWorld {
  readonly world: World;
  readonly main: RunningGateway;
  create(request?: ReturnType<typeof fromBase>, client?: GatewayClient): Promise<string>;
  createStarted(request?: ReturnType<typeof fromBase>): Promise<string>;
  /** How many runtimes run in a sandbox. */
  runtimeCount(sandboxId: string): Promise<number>;
  /** The runtime's log as soon as there is a line in it. */
  logOf(sandboxId: string): Promise<SandboxLogs>;
  /** Fails when a line of any gateway's log holds a secret or is not in form. */
  expectCleanLog(): void;
}

export function useWorld(): UsedWorld {
  let open: { world: World; main: RunningGateway } | undefined;
  beforeAll(async () => {
    const world = await startWorld();
    open = { world, main: await world.startGateway() };
  }, 60_000);
  afterAll(async () => {
    await open?.world.close();
  }, 30_000);

  function opened() {
    if (open === undefined) throw new Error("the world is only there inside a test");
    return open;
  }
  async function create(request = fromBase(), client = opened().main.client): Promise<string> {
    return succeeded(await client.create(freshName(), request)).sandboxId;
  }
  return {
    get world() {
      return opened().world;
    },
    get main() {
      return opened().main;
    },
    create,
    async createStarted(request) {
      const sandboxId = await create(request);
      expect(succeeded(await opened().main.client.start(sandboxId, { config })).started).toBe(true);
      return sandboxId;
    },
    async runtimeCount(sandboxId) {
      // The program must be node itself: tini and wrappers carry the same file in their arguments.
      const pids = await opened().world.shell(
        sandboxId,
        "for p in /proc/[0-9]*; do case $(readlink $p/exe) in */node) grep -a -q openinspect/runtime $p/cmdline && basename $p;; esac; done",
      );
      return pids.split("\n").filter((pid) => pid !== "").length;
    },
    logOf: (sandboxId) =>
      eventually(async () => {
        const log = succeeded(await opened().main.client.logs(sandboxId, 0));
        return log.text.endsWith("\n") && log;
      }),
    expectCleanLog() {
      const { logLines } = opened().world;
      expect(logLines.length).toBeGreaterThan(10);
      for (const line of logLines) {
        expect(Object.keys(JSON.parse(line))).toEqual(expect.arrayContaining(["at", "level", "event"]));
        for (const hidden of [secret, bridgeToken, modelToken, "secret-but-short"]) expect(line).not.toContain(hidden);
      }
    },
  };
}
