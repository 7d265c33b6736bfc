/**
 * Starts the Worker of `npm start` again when it needs it: its runtime can die under a process that lives on, and a person edits its
 * code or adds a migration. Does not know how the Worker is started.
 */

/** Any answer will do; this one asks nobody else, so that a slow gateway or GitHub is not taken for a dead Worker. */
export const probePath = "/api/alive-probe";

export interface WorkerWatch {
  url: string;
  migrationsPending: () => boolean;
  /** whether something that it runs was written since the last call */
  sourcesChanged: () => boolean;
  restart: () => Promise<void>;
  log: (line: string) => void;
  /** pause between two looks */
  everyMs?: number;
  /** how long a Worker may give no answer */
  silentMaxMs?: number;
}

export function watchWorker({
  url,
  migrationsPending,
  sourcesChanged,
  restart,
  log,
  everyMs = 1_000,
  silentMaxMs = 5_000,
}: WorkerWatch): () => void {
  let answeredAt = Date.now();
  let over = false;
  let timer: NodeJS.Timeout;
  /** Why the Worker has to be started again, or null. */
  async function look(): Promise<string | null> {
    const isEdited = sourcesChanged();
    if (migrationsPending()) return "there is a new migration";
    if (isEdited) return "its sources have changed";
    const answer = await fetch(`${url}${probePath}`, { signal: AbortSignal.timeout(silentMaxMs / 2) }).catch(() => null);
    await answer?.body?.cancel();
    if (answer !== null) answeredAt = Date.now();
    return Date.now() - answeredAt >= silentMaxMs ? "the Worker does not answer" : null;
  }
  const arm = () => {
    timer = setTimeout(async () => {
      const why = await look().catch((error) => `its watch failed: ${error}`);
      if (why !== null && !over) {
        log(`${why}; starting the Worker again`);
        await restart().catch((error) => log(`${error}`));
        answeredAt = Date.now();
      }
      if (!over) arm();
    }, everyMs);
  };
  arm();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
