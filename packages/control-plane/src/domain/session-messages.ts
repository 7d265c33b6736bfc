/** What a session is told and what it owes. Pure types; the decisions are in `session.ts` and the files that it calls. */
import { type Person, type RuntimeEvent } from "@open-inspect/protocol";
import { type Selection } from "./image-selection.ts";
import { type GatewayFailure } from "./ports.ts";
import { type PullEffect, type PullInput } from "./pull-request.ts";
import { type ColdHistory } from "./receipt.ts";
import { type SandboxEffect, type SandboxInput } from "./sandbox.ts";
import { type ImageReport } from "./session-image.ts";
import { type SessionOrder, type SessionState, type SessionWork } from "./session-state.ts";

/** What a reserved sandbox is made into. */
export interface SessionClaim {
  acceptedAt: number;
  title: string;
  author: Person | null;
  branch: string;
  model: string | null;
  /** made by the caller: the same claim again is told the same; any other one is refused */
  attemptId?: string;
}

export type SessionInput =
  | { type: "create"; order: SessionOrder }
  /** a person's stop: what runs and waits ends, its files are kept */
  | { type: "stop" }
  /** a person's resume: also where it does not start by itself any more */
  | { type: "resume" }
  | { type: "archive" }
  | { type: "restore" }
  | { type: "rename"; title: string }
  /** a prompt was added, has begun or ended. `isWorking` on a session without a sandbox starts it again */
  | { type: "work"; work: SessionWork }
  | { type: "claim"; claim: SessionClaim }
  /** a reserved one is kept until then */
  | { type: "keep"; until: number }
  /** ends it when it is still reserved; a session goes on */
  | { type: "release" }
  | PullInput
  /** the answer to `image.look_up` of the same serial */
  | { type: "image.looked_up"; serial: number; selection: Selection; history: ColdHistory }
  | { type: "snapshot.taken"; attempt: string; providerImageId: string; durationMs: number; expiresAt: number }
  | { type: "snapshot.failed"; attempt: string; failure: GatewayFailure }
  /** the session's own snapshot must not be used any more, because of what is in it */
  | { type: "snapshot.refused"; attempt: string; reason: string }
  | { type: "sandbox.ended"; attempt: string }
  | { type: "runtime.event"; attempt: string; event: RuntimeEvent }
  | SandboxInput;

export type SessionEffect =
  | SandboxEffect
  /** asks the runtime to end cleanly; worth one try */
  | { type: "bridge.shutdown"; attempt: string; reason: string }
  /** asks the runtime for a sync and another `session.ready` */
  | { type: "bridge.sync"; attempt: string; branch: string }
  /**
   * The attempt has no sandbox any more, or will not have it for long: the prompt that it has in hand gets its end. `all`: those that wait at
   * `at`, too, because the session will not go on by itself. Answered by `work` with what is left.
   */
  | { type: "prompts.end"; attempt: string; which: "running" | "all"; outcome: "failed" | "stopped"; cause: string; at: number }
  /** keeps the sandbox's filesystem; it can be done once in a sandbox's life */
  | { type: "snapshot"; attempt: string; sandboxId: string; afterMs?: number }
  /** a snapshot that nobody will start from */
  | { type: "snapshot.delete"; providerImageId: string }
  /** which image a start would come from now */
  | { type: "image.look_up"; serial: number }
  | PullEffect
  | ImageReport
  /** what is known of the repositories is older than GitHub */
  | { type: "repositories.reread" };

export interface SessionStep {
  state: SessionState | null;
  effects: SessionEffect[];
}

/** A step of a session that is there. */
export interface LiveStep extends SessionStep {
  state: SessionState;
}
