/** The three ways in which a sandbox that was up is lost, in words. Pure: when that is so is decided in `sandbox.ts`. */
import { type Failure, type Phase, type SandboxStatus } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";
import { createFailure } from "./failures.ts";

const endedSentences = {
  exited: "its main process ended",
  terminated: "it was terminated from outside",
  timeout: "it reached the end of its lifetime",
  out_of_memory: "its memory ran out",
  unknown: "the provider does not say why",
} as const;

/** 128 + SIGKILL: what the kernel does to a sandbox that is out of memory */
const killed = 137;

export function sandboxEnded(
  { reason, exitCode }: Extract<SandboxStatus, { status: "ended" }>,
  phase: Phase | null,
  lines: readonly string[],
): Failure {
  const cause =
    exitCode === killed && reason !== "timeout" ? "it was killed, most often because its memory ran out" : endedSentences[reason];
  const how = `${cause}${exitCode === null ? "" : ` (exit code ${exitCode})`}`;
  return createFailure("sandbox_lost", { phase, lines, exitCode, message: `The sandbox died${during(phase)}: ${how}.` });
}

export function runtimeGone(phase: Phase | null, lines: readonly string[]): Failure {
  const message = `The runtime in the sandbox ended${during(phase)}, although the sandbox runs.`;
  return createFailure("sandbox_lost", { phase, lines, message });
}

export function sandboxSilent(phase: Phase | null, lines: readonly string[]): Failure {
  const seconds = Math.round(deadlines.bridgeSilentMs / 1000);
  const message = `The sandbox${phase ? ` was at ${phase} and` : ""} has not been heard of for ${seconds} seconds.`;
  return createFailure("sandbox_lost", { phase, lines, message });
}

const during = (phase: Phase | null): string => (phase ? ` during ${phase}` : "");
