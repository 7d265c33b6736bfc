/** The ways in which a sandbox that was up is lost, in words. Pure: when that is so is decided in `sandbox.ts`. */
import { type Failure, type Phase, type SandboxStatus } from "@open-inspect/protocol";
import { deadlines } from "./deadlines.ts";
import { createFailure } from "./failures.ts";

/** 128 + SIGKILL: what the kernel does to a sandbox that is out of memory, where the provider does not tell it apart */
const killed = 137;

type Ended = Extract<SandboxStatus, { status: "ended" }>;

/** The usual hint guesses at the memory: out of place where the cause is known to be another. */
const hints: Partial<Record<Ended["reason"], string>> = {
  terminated:
    "Somebody or the provider ended it. A build is tried again by the next scheduled run; a session starts again with its next prompt.",
  timeout: "A build is tried again by the next scheduled run; a session starts again with its next prompt.",
};

function howEnded({ reason, exitCode }: Ended): string {
  switch (reason) {
    case "exited":
      if (exitCode === killed) return `it was killed, most often because its memory ran out (exit code ${killed})`;
      return exitCode === null ? "its main process ended" : `its main process exited with code ${exitCode}`;
    case "terminated":
      return "it was terminated from outside";
    case "timeout":
      return "it reached the end of its lifetime";
    case "out_of_memory":
      return "its memory ran out";
    case "unknown":
      return "the provider does not know it any more and does not say why";
  }
}

export function sandboxEnded(ended: Ended, phase: Phase | null, lines: readonly string[]): Failure {
  const { exitCode, reason } = ended;
  const message = `The sandbox died${during(phase)}: ${howEnded(ended)}.`;
  if (reason === "out_of_memory") return createFailure("out_of_memory", { phase, lines, exitCode, message });
  return createFailure("sandbox_lost", { phase, lines, exitCode, message, hint: hints[reason] });
}

export function runtimeGone(phase: Phase | null, lines: readonly string[]): Failure {
  const message = `The runtime in the sandbox ended${during(phase)}, although the sandbox runs.`;
  return createFailure("sandbox_lost", { phase, lines, message });
}

export function sandboxSilent(phase: Phase | null, lines: readonly string[]): Failure {
  const seconds = Math.round(deadlines.bridgeSilentMs / 1000);
  const message = `The sandbox was lost${during(phase)}: it has not been heard of for ${seconds} seconds.`;
  return createFailure("sandbox_lost", { phase, lines, message });
}

const during = (phase: Phase | null): string => (phase ? ` during ${phase}` : "");
