/** When to dial the bridge again and when to start the agent again. Pure: time and randomness are passed in. */

const dialBaseMs = 100;
const dialMaxMs = 5_000;

/** Delay before the next dial. @param failures dials that failed in a row @param random in [0, 1) */
export function decideDialDelayMs(failures: number, random: number): number {
  const ceiling = Math.min(dialMaxMs, dialBaseMs * 2 ** Math.min(failures, 10));
  return ceiling / 2 + (ceiling / 2) * random;
}

export const restartDelaysMs = [0, 250, 1_000, 4_000, 15_000] as const;
const restartWindowMs = 60_000;
const restartsInWindowMax = 6;
/** An agent that has never been healthy will hardly become so: two more tries. */
const restartsBeforeHealthyMax = 2;

/**
 * @param restartedAt times of the restarts so far, oldest first
 * @returns the delay before the next restart, or null to give up
 */
export function decideRestartDelayMs(restartedAt: readonly number[], wasHealthy: boolean, now: number): number | null {
  if (!wasHealthy && restartedAt.length >= restartsBeforeHealthyMax) return null;
  const recent = restartedAt.filter((at) => now - at < restartWindowMs).length;
  if (recent >= restartsInWindowMax) return null;
  return restartDelaysMs[Math.min(recent, restartDelaysMs.length - 1)] ?? null;
}
