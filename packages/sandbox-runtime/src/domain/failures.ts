/** What went wrong, as a person can act on it: from git's and the hooks' outcomes to the failures of the protocol. Pure. */
import { type Failure, type FailureCode, hookPaths, imageFilePath, type Phase } from "@open-inspect/protocol";
import { type Shortage, saysDiskFull } from "./shortage.ts";

/** Carries a failure of the protocol through `throw`. Never holds a secret. */
export class RuntimeFailure extends Error {
  readonly failure: Failure;
  /** the cause is not in this sandbox: another one would meet it too */
  readonly isOutside: boolean;
  constructor(failure: Failure, isOutside = false) {
    super(failure.message);
    this.failure = failure;
    this.isOutside = isOutside;
  }
}

export interface GitOutcome {
  exitCode: number | null;
  timedOut: boolean;
  timeoutMs: number;
  /** git's last lines, oldest first */
  lines: string[];
}

/** What a failed fetch means. `retry`: the same call may work in a moment. */
export type GitFailureKind = "auth" | "not_found" | "no_ref" | "timeout" | "disk" | "network" | "other";

export function classifyGit(outcome: GitOutcome): GitFailureKind {
  const text = outcome.lines.join("\n");
  if (outcome.timedOut) return "timeout";
  // Before the network: a pack that cannot be written ends as a broken connection, too.
  if (saysDiskFull(outcome.lines)) return "disk";
  if (/couldn't find remote ref|Remote branch .* not found/i.test(text)) return "no_ref";
  if (/Authentication failed|could not read (Username|Password)|told us to quit|returned error: 40[13]|Access denied/i.test(text))
    return "auth";
  if (/repository .*not found|returned error: 404/i.test(text)) return "not_found";
  if (
    /returned error: (429|5\d\d)|Could not resolve host|Failed to connect|Connection (timed out|reset|refused)|early EOF|unexpected disconnect|RPC failed|Empty reply|GnuTLS|SSL_ERROR|Operation too slow|transfer closed/i.test(
      text,
    )
  )
    return "network";
  return "other";
}

const shortageHints = {
  memory: "Let it need less memory at once, for example with fewer parallel jobs.",
  disk: "Let setup.sh delete what later steps do not need, such as package caches and archives.",
} as const;

const reachHint = "Check that the control plane's GitHub App can read this repository, then try again.";

/** @param heads branches that the server advertises, or null when it was not asked */
export function explainGit(input: {
  phase: "clone" | "sync";
  cloneUrl: string;
  branch: string;
  outcome: GitOutcome;
  refusal: string | null;
  heads: number | null;
}): Failure {
  const { phase, cloneUrl, branch, outcome } = input;
  const failure = (code: FailureCode, message: string, hint: string): Failure => ({
    code,
    message,
    hint,
    phase,
    lines: outcome.lines,
    exitCode: outcome.exitCode,
  });
  if (input.refusal !== null) return failure("credentials_refused", `No credential for ${cloneUrl}: ${input.refusal}`, reachHint);
  const doing = phase === "clone" ? "Cloning" : "Updating";
  const general = phase === "clone" ? "clone_failed" : "sync_failed";
  switch (classifyGit(outcome)) {
    case "auth":
      return failure("credentials_refused", `The git server refused the credential for ${cloneUrl}.`, reachHint);
    case "not_found":
      return failure("repository_not_found", `The git server knows no repository at ${cloneUrl}.`, reachHint);
    case "no_ref":
      return input.heads === 0
        ? failure("repository_empty", `${cloneUrl} has no commit yet.`, "Push a first commit, then try again.")
        : failure("branch_not_found", `${cloneUrl} has no branch ${branch}.`, "Choose a branch that exists, or push this one.");
    case "timeout":
      return failure(
        general,
        `${doing} ${cloneUrl} took longer than ${Math.round(outcome.timeoutMs / 1000)} s.`,
        "Try again; for a very large repository raise the git limit.",
      );
    case "disk":
      return failure(
        "disk_full",
        `${doing} ${cloneUrl} failed: no space was left on the disk.`,
        phase === "clone"
          ? "The repository needs more disk than the sandbox has: take large files out of it."
          : shortageHints.disk,
      );
    case "network":
      return failure(general, `${doing} ${cloneUrl} failed: the git server could not be reached.`, "Try again in a moment.");
    case "other":
      return failure(general, `${doing} ${cloneUrl} failed.`, "The lines show what git said.");
  }
}

export function explainHollowImage(workspace: string): Failure {
  return {
    code: "sync_failed",
    message: `The image holds no repository at ${workspace}.`,
    hint: "Build the image again; meanwhile sessions can start without it.",
    phase: "sync",
    lines: [],
    exitCode: null,
  };
}

export function explainHollowSnapshot(workspace: string): Failure {
  return {
    code: "sync_failed",
    message: `The session's snapshot holds no repository with a commit at ${workspace}.`,
    hint: "Start a new session: what this one kept cannot be used.",
    phase: null,
    lines: [],
    exitCode: null,
  };
}

export function explainRemoved(workspace: string): Failure {
  return {
    code: "setup_failed",
    message: `${hookPaths.setup} removed the repository: there is none at ${workspace} any more.`,
    hint: "Let it work in subfolders or in /tmp, and keep .git.",
    phase: "setup",
    lines: [],
    exitCode: 0,
  };
}

export interface HookOutcome {
  exitCode: number | null;
  signal: string | null;
  timedOut?: boolean;
  lines: string[];
}

/** A script of the repository that must succeed, and how it is told when it does not. */
export interface RequiredHook {
  path: string;
  phase: Phase;
  code: FailureCode;
  /** for a script that git does not have as executable */
  notExecutableCode: FailureCode;
  /** memory or disk that ran out is a code of its own */
  tellsShortage: boolean;
}

const setupCodes = {
  phase: "setup",
  code: "setup_failed",
  notExecutableCode: "setup_not_executable",
  tellsShortage: true,
} as const;

export const requiredHooks = {
  setup: { path: hookPaths.setup, ...setupCodes },
  refresh: { path: hookPaths.refresh, ...setupCodes },
  verify: {
    path: hookPaths.verify,
    phase: "verify",
    code: "verify_failed",
    notExecutableCode: "verify_failed",
    tellsShortage: false,
  },
} as const satisfies Record<string, RequiredHook>;

/** @param shortage what it lacked; a script with a code of its own keeps the code and tells the cause */
export function explainHook(hook: RequiredHook, outcome: HookOutcome, shortage: Shortage | null = null): Failure {
  const how = outcome.timedOut
    ? "did not end within its limit"
    : outcome.signal
      ? `was ended by ${outcome.signal}`
      : `exited with code ${outcome.exitCode}`;
  const hint =
    outcome.exitCode === 127
      ? "A command was not found: install it in the script, and check that the script has Unix line ends."
      : outcome.signal === "SIGKILL" || outcome.exitCode === killedCode
        ? "Something killed it, often the memory limit."
        : "The lines show the end of what it printed; run it in a fresh clone to see the same.";
  return {
    code: shortage && hook.tellsShortage ? shortageCodes[shortage.kind] : hook.code,
    message: shortage ? `${hook.path} ${how}: ${shortage.detail}.` : `${hook.path} ${how}.`,
    hint: shortage ? shortageHints[shortage.kind] : hint,
    phase: hook.phase,
    lines: outcome.lines,
    exitCode: outcome.exitCode,
  };
}

const shortageCodes = { memory: "out_of_memory", disk: "disk_full" } as const;
/** how a shell passes on that SIGKILL ended its command */
const killedCode = 137;

export function explainNotExecutable(hook: RequiredHook): Failure {
  return {
    code: hook.notExecutableCode,
    message: `${hook.path} is not executable.`,
    hint: `git update-index --chmod=+x ${hook.path}, then commit and push.`,
    phase: hook.phase,
    lines: [],
    exitCode: null,
  };
}

/** A script that could not be started at all, such as one with an interpreter that is not there. */
export function explainNotStarted(hook: RequiredHook, reason: string): Failure {
  return {
    code: hook.code,
    message: `${hook.path} could not be started: ${reason}.`,
    hint: "Check its first line (the interpreter must exist in the sandbox) and its line ends.",
    phase: hook.phase,
    lines: [],
    exitCode: null,
  };
}

export function explainImageFile(lines: string[]): Failure {
  return {
    code: "configuration_invalid",
    message: `${imageFilePath} cannot be read.`,
    hint: "The lines say what is wrong; correct the file, commit and push.",
    phase: null,
    lines,
    exitCode: null,
  };
}

export function explainOtherCommit(expected: string, found: string | null): Failure {
  return {
    code: "verify_failed",
    message: `The image has commit ${found?.slice(0, 7) ?? "none"} instead of ${expected.slice(0, 7)}.`,
    hint: `Check that ${hookPaths.setup} leaves the repository's HEAD alone.`,
    phase: "verify",
    lines: [],
    exitCode: null,
  };
}

export function explainAgent(reason: string, lines: string[], exitCode: number | null = null): Failure {
  return {
    code: "agent_failed",
    message: `The agent did not become healthy: ${reason}.`,
    hint: "Start a new session; if it happens again the lines show what the agent printed.",
    phase: "agent",
    lines,
    exitCode,
  };
}

export function explainInternal(error: unknown, phase: Phase | null): Failure {
  if (error instanceof Error && "code" in error && error.code === "ENOSPC") {
    const message = `The sandbox runtime could not write: no space was left on the disk (${error.message}).`;
    return { code: "disk_full", message, hint: shortageHints.disk, phase, lines: [], exitCode: null };
  }
  return {
    code: "internal",
    message: `The sandbox runtime failed: ${error instanceof Error ? error.message : String(error)}.`,
    hint: "Try again; if it happens again this is a defect of Open-Inspect.",
    phase,
    lines: [],
    exitCode: null,
  };
}
