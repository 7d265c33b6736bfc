/** Asks a sandbox's readiness probe until it says yes. Knows nothing of gRPC or of who waits. */
import { setTimeout as delay } from "node:timers/promises";
import { type Guest } from "./engine/engine.ts";

const oneTryLimitMs = 60_000;

export interface ReadinessProbe {
  check: { kind: "tcp"; port: number } | { kind: "exec"; argv: string[] };
  intervalMs: number;
}

/** Looks for a listener instead of connecting: a program may serve its first connection only. */
const listens = (port: number) => {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return ["/bin/sh", "-c", `grep -qsE ':${hex} 0+:0000 0A' /proc/net/tcp /proc/net/tcp6`];
};

async function succeeds(guest: Guest, { check }: ReadinessProbe): Promise<boolean> {
  const argv = check.kind === "tcp" ? listens(check.port) : check.argv;
  const process = await guest.exec({ argv, env: {}, workdir: null, timeoutMs: oneTryLimitMs, pty: false });
  process.onOutput(() => {});
  await process.closeStdin();
  return (await process.exit) === 0;
}

/** @returns when it was ready, in ms; null: `signal` came first. Rejects when the sandbox ends. */
export async function untilReady(
  guest: Guest,
  probe: ReadinessProbe,
  signal: AbortSignal,
  now: () => number,
): Promise<number | null> {
  while (!signal.aborted) {
    if (await succeeds(guest, probe)) return now();
    await delay(probe.intervalMs, undefined, { signal }).catch(() => {});
  }
  return null;
}
