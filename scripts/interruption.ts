/** When a command is to end: Ctrl-C, a signal, or the death of whoever started it (npm and the shell between do not pass every signal on). */
const parentPollMs = 500;

/** Calls back once, with a word for why. */
export function onInterruption(end: (why: string) => void): void {
  let over = false;
  const once = (why: string) => {
    if (over) return;
    over = true;
    clearInterval(watch);
    end(why);
  };
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid !== parent) once("parent died");
  }, parentPollMs);
  watch.unref();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => once(signal));
}
