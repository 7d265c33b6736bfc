/** The sentence and the hint of every failure and of every reason for a cold start. Pure text; no state. */
import {
  type ColdReason,
  type ColdReasonCode,
  type Failure,
  type FailureCode,
  failureLinesMax,
  type Phase,
} from "@open-inspect/protocol";

/** What a person can do about each failure. The sentence is the usual one; the place that knows more says more. */
const failureTexts: Record<FailureCode, { message: string; hint: string }> = {
  repository_not_found: {
    message: "The repository was not found on GitHub.",
    hint: "Check that it exists and that the GitHub App is installed on it.",
  },
  repository_empty: { message: "The repository has no branch yet.", hint: "Push a first commit, then switch the image on." },
  branch_not_found: { message: "The branch was not found on GitHub.", hint: "Check the branch name, or push the branch first." },
  credentials_refused: {
    message: "GitHub refused a read token for the repository.",
    hint: "Check that the GitHub App is installed on the repository with read access to its contents.",
  },
  gateway_unavailable: {
    message: "The sandbox gateway could not be reached.",
    hint: "Nothing is wrong with the repository. Builds are tried again by the next scheduled run; if this lasts, look at the gateway's log.",
  },
  base_not_ready: {
    message: "The base image is still being built.",
    hint: "Nothing is wrong with the repository. Try again in a few minutes: the gateway goes on building, and its log says how far it is.",
  },
  sandbox_create_failed: {
    message: "The provider refused to create the sandbox.",
    hint: "Read the provider's message; check its quota and the base image.",
  },
  image_missing: {
    message: "The image is not at the provider any more.",
    hint: "It was retired; a new one is built and sessions start cold until then.",
  },
  runtime_never_connected: {
    message: "The sandbox started, but its runtime never connected.",
    hint: "Check that sandboxes can reach CONTROL_PLANE_URL; the runtime's own output is below.",
  },
  sandbox_lost: {
    message: "The sandbox died.",
    hint: "Often it ran out of memory. A build is tried again by the next scheduled run; a session starts again with its next prompt.",
  },
  clone_failed: { message: "git could not clone the repository.", hint: "git's own message is below." },
  sync_failed: { message: "git could not bring the workspace to the branch's head.", hint: "git's own message is below." },
  setup_failed: {
    message: ".openinspect/setup.sh failed.",
    hint: "The last lines that it printed are below. Run it in a fresh clone to reproduce this.",
  },
  setup_not_executable: {
    message: ".openinspect/setup.sh is not executable.",
    hint: "Run `git update-index --chmod=+x .openinspect/setup.sh`, commit and push.",
  },
  out_of_memory: {
    message: "The sandbox ran out of memory.",
    hint: "Make setup.sh need less memory at once, for example with fewer parallel jobs.",
  },
  disk_full: {
    message: "The sandbox's disk is full.",
    hint: "Let setup.sh delete what later steps do not need, such as package caches and archives.",
  },
  configuration_invalid: {
    message: ".openinspect/image.json cannot be read.",
    hint: "The lines below say what is wrong; correct the file, commit and push.",
  },
  verify_failed: {
    message: "The image was built, but a sandbox from it did not pass its verification.",
    hint: "The last good image goes on serving. Run .openinspect/verify.sh in a session to reproduce this.",
  },
  start_failed: { message: ".openinspect/start.sh failed.", hint: "The last lines that it printed are below." },
  agent_failed: { message: "The coding agent did not come up.", hint: "Its last output is below." },
  snapshot_failed: {
    message: "The provider could not take the snapshot.",
    hint: "What was to be kept was fine. A build is tried again by the next scheduled run.",
  },
  build_timeout: {
    message: "The build took longer than its limit.",
    hint: "The step that was running and its last lines are below. Make setup.sh faster, or raise BUILD_LIMIT_MS.",
  },
  start_timeout: {
    message: "The session took longer to start than its limit.",
    hint: "The step that was running and its last lines are below.",
  },
  starts_suspended: {
    message: "The session has failed several times in a row.",
    hint: "It does not start by itself any more. Look at the cause, then resume it.",
  },
  internal: {
    message: "Something went wrong in Open-Inspect itself.",
    hint: "Try again; if it stays, look at the Worker's log.",
  },
};

/** Builds a failure from its code; `message` and `hint` replace the usual texts where more is known. */
export function createFailure(
  code: FailureCode,
  more: {
    message?: string | undefined;
    hint?: string | undefined;
    phase?: Phase | null;
    lines?: readonly string[];
    exitCode?: number | null;
  } = {},
): Failure {
  const text = failureTexts[code];
  return {
    code,
    message: more.message || text.message,
    hint: more.hint || text.hint,
    phase: more.phase ?? null,
    lines: (more.lines ?? []).slice(-failureLinesMax),
    exitCode: more.exitCode ?? null,
  };
}

const coldTexts: Record<ColdReasonCode, { message: string; hint: string }> = {
  images_disabled: {
    message: "Pre-built images are switched off for this repository.",
    hint: "Switch them on under Settings > Images.",
  },
  no_image_yet: {
    message: "No image of this repository is ready.",
    hint: "Press refresh under Settings > Images to build one now.",
  },
  first_build_running: {
    message: "The first image of this repository is still being built.",
    hint: "Sessions that start after it is ready use it.",
  },
  first_build_failed: {
    message: "The last build failed and there is no earlier image.",
    hint: "The cause is under Settings > Images; the next scheduled run tries again.",
  },
  other_branch: {
    message: "The image was built from another branch.",
    hint: "Images are built from the default branch; sessions on it start from the image.",
  },
  image_expired: {
    message: "The image has reached the end of its life at the provider.",
    hint: "The next scheduled run builds a new one; refresh builds it now.",
  },
  runtime_outdated: {
    message: "The image holds a runtime that this version cannot talk to.",
    hint: "The next build bakes the current runtime; refresh builds it now.",
  },
  restore_failed: {
    message: "The image could not be started, so the session began again from the base.",
    hint: "An image that is gone or broken is retired and built anew; refresh under Settings > Images builds one now.",
  },
  lookup_failed: {
    message: "The image could not be looked up in time.",
    hint: "The database did not answer; the session started without it.",
  },
};

/** @param cause what is known of it in this very case */
export function createColdReason(code: ColdReasonCode, cause?: string): ColdReason {
  const { message, hint } = coldTexts[code];
  return { code, message: cause === undefined ? message : `${message} ${cause}`, hint };
}
