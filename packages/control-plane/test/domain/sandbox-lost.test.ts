import { type SandboxStatus } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { isTransient } from "../../src/domain/failure-series.ts";
import { runtimeGone, sandboxEnded, sandboxSilent } from "../../src/domain/sandbox-lost.ts";

type Ended = Extract<SandboxStatus, { status: "ended" }>;

it.each([
  ["exited", 1, "sandbox_lost", "its main process exited with code 1"],
  ["exited", null, "sandbox_lost", "its main process ended"],
  ["exited", 137, "sandbox_lost", "it was killed, most often because its memory ran out (exit code 137)"],
  ["terminated", 137, "sandbox_lost", "it was terminated from outside"],
  ["timeout", 124, "sandbox_lost", "it reached the end of its lifetime"],
  ["unknown", null, "sandbox_lost", "the provider does not know it any more and does not say why"],
  ["out_of_memory", 137, "out_of_memory", "its memory ran out"],
] as const)("[SB5] a sandbox that ended by %s (%s) is %s, and the sentence says how", (reason, exitCode, code, how) => {
  const ended: Ended = { status: "ended", reason, exitCode };
  const failure = sandboxEnded(ended, "setup", ["the last line"]);
  expect(failure).toMatchObject({ code, phase: "setup", exitCode, lines: ["the last line"] });
  expect(failure.message).toBe(`The sandbox died during setup: ${how}.`);
  expect(sandboxEnded(ended, null, []).message).toBe(`The sandbox died: ${how}.`);
});

it("[SB5] a hint guesses at the memory only where nothing better is known", () => {
  const hint = (reason: Ended["reason"]) => sandboxEnded({ status: "ended", reason, exitCode: null }, null, []).hint;
  expect(hint("unknown")).toMatch(/memory/);
  expect(hint("terminated")).not.toMatch(/memory/);
  expect(hint("timeout")).not.toMatch(/memory/);
  expect(hint("out_of_memory")).toMatch(/less memory/);
});

it("[IB18] want of memory does not pass by itself, a lost sandbox may", () => {
  const failure = (reason: Ended["reason"]) => sandboxEnded({ status: "ended", reason, exitCode: 137 }, "setup", []);
  expect(isTransient(failure("out_of_memory"))).toBe(false);
  expect(isTransient(failure("terminated"))).toBe(true);
});

it("[SB4] [SB13] silence and a runtime that is gone are named as what they are, with the step", () => {
  expect(sandboxSilent("clone", []).message).toMatch(
    /^The sandbox was lost during clone: it has not been heard of for \d+ seconds\.$/,
  );
  expect(sandboxSilent(null, []).message).toMatch(/^The sandbox was lost: /);
  expect(runtimeGone("setup", []).message).toContain("during setup");
});
