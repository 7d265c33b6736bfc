/** Puts the seccomp program where the launcher finds it, if the launcher can load one. Knows no guests. */
import { writeFileSync } from "node:fs";
import { type LauncherKind } from "./guest-launch.ts";
import { canLaunchWithPerl } from "./perl-launch.ts";
import { buildSeccompProgram } from "./seccomp.ts";

/** @returns the file; null where there is no program for the architecture, or the launcher cannot load one */
export async function writeSeccompProgram(file: string, launcher: LauncherKind): Promise<string | null> {
  const program = buildSeccompProgram(process.arch);
  if (program === null) return null;
  writeFileSync(file, program, { mode: 0o644 });
  return launcher === "bwrap" || (await canLaunchWithPerl(process.arch, file)) ? file : null;
}
