/** How much memory a local Worker has. Linux; knows only its process group. */
import { readdirSync, readFileSync } from "node:fs";

/** Resident memory of the workerd processes in the group of `leader`, in MB. */
export function watchMemory(leader: number) {
  const read = () => {
    let kilobytes = 0;
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const [, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        if (Number(group) !== leader || !stat.includes("(workerd")) continue;
        kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
      } catch {
        // It ended between the listing and the reading.
      }
    }
    return kilobytes / 1_024;
  };
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, read());
  }, 250);
  return {
    read,
    stop() {
      clearInterval(timer);
      return peak;
    },
  };
}
