/**
 * Filesystem snapshots: at most one per sandbox, whatever is repeated. Knows nothing of HTTP or of what is in the files.
 *
 * The SDK makes a new idempotency key on every call, so that a second call is a second image that nobody would ever delete.
 * Hence the memory of running and finished snapshots here, the mark in the sandbox for what an earlier process began, and beside it, as
 * soon as the provider has named the image and before anybody is answered, a note of its id. A process that finds the note answers with
 * that image. One window is left: from the moment at which the provider has made the image until the note is written, which is
 * the way of the provider's answer and one command in the sandbox. A gateway that dies in it leaves an image that only its TTL ends.
 *
 * Whatever runs in the sandbox can write there too: a note is signed, or a build could have another repository's image for its own.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { type SnapshotRequest, type SnapshotResponse } from "@open-inspect/protocol";
import { type Sandbox } from "modal";
import { DeadlineError, type GatewayDeadlines, withDeadline } from "./deadlines.ts";
import { classifyFailure, GatewayFault, isDefiniteRefusal } from "./errors.ts";
import { readShell, runShell } from "./exec.ts";
import { type Images } from "./images.ts";
import { beforeSnapshotScript, noteReadScript, noteWriteScript, snapshotBegunCode } from "./launcher.ts";
import { type Log } from "./log.ts";
import { type Sandboxes } from "./sandboxes.ts";

const rememberedSnapshots = 1_000;
/** the SDK ends its call by itself; this is for the case that it does not */
const sdkGraceMs = 5_000;

export interface Snapshots {
  /**
   * Answers the sandbox's image. Held open only for a while: `snapshot_in_progress` asks to join again.
   * @throws GatewayFault; `snapshot_ambiguous` when an image may exist whose id is not known
   */
  take(sandboxId: string, request: SnapshotRequest): Promise<SnapshotResponse>;
}

interface Entry {
  running: boolean;
  result: Promise<SnapshotResponse>;
}

export function createSnapshots(options: {
  sandboxes: Sandboxes;
  images: Images;
  log: Log;
  /** names this process in the mark */
  processId: string;
  /** signs notes */
  secret: string;
  deadlinesMs: GatewayDeadlines;
}): Snapshots {
  const { sandboxes, images, log, processId, secret, deadlinesMs } = options;
  const entries = new Map<string, Entry>();

  async function snapshot(sandboxId: string, request: SnapshotRequest): Promise<SnapshotResponse> {
    const sandbox = await sandboxes.handle(sandboxId);
    const code = await runShell(sandbox, {
      script: beforeSnapshotScript,
      args: [sandboxId, processId],
      limitMs: deadlinesMs.sync,
    });
    if (code === snapshotBegunCode) {
      const noted = await readNote(sandbox);
      if (noted === null) throw ambiguous("An earlier gateway process began a snapshot of this sandbox.");
      log.info("snapshot_found", { sandboxId, providerImageId: noted });
      return { providerImageId: noted, durationMs: 0 };
    }
    if (code !== 0)
      throw new GatewayFault(
        "transient",
        "snapshot_not_begun",
        `The sandbox was not ready for a snapshot (code ${code}).`,
        "Repeat the call.",
      );
    const startedAt = performance.now();
    try {
      const image = await withDeadline(
        "the snapshot",
        request.timeoutMs + sdkGraceMs,
        sandbox.snapshotFilesystem({ timeoutMs: request.timeoutMs, ttlMs: request.ttlMs }),
      );
      images.remember(image);
      await leaveNote(sandbox, image.imageId);
      return { providerImageId: image.imageId, durationMs: performance.now() - startedAt };
    } catch (error) {
      const failure = classifyFailure(error, "sandbox");
      if (isDefiniteRefusal(error) || failure.code === "snapshot_failed") throw error;
      throw ambiguous(failure.message);
    }
  }

  const noteOf = (sandboxId: string, imageId: string): string =>
    `${imageId} ${createHmac("sha256", secret).update(`snapshot-note\n${sandboxId}\n${imageId}`).digest("hex")}`;

  /** The image is there whether or not this works: what fails is only told. */
  async function leaveNote(sandbox: Sandbox, imageId: string): Promise<void> {
    const { sandboxId } = sandbox;
    const args = [sandboxId, noteOf(sandboxId, imageId)];
    const code = await runShell(sandbox, { script: noteWriteScript, args, limitMs: deadlinesMs.note }).catch(() => null);
    if (code !== 0) log.warn("snapshot_not_noted", { sandboxId, providerImageId: imageId, code });
  }

  async function readNote(sandbox: Sandbox): Promise<string | null> {
    const args = [sandbox.sandboxId];
    const bytes = await readShell(sandbox, { script: noteReadScript, args, limitMs: deadlinesMs.exec });
    const note = new TextDecoder().decode(bytes).trim();
    const [imageId = ""] = note.split(" ");
    const genuine = Buffer.from(noteOf(sandbox.sandboxId, imageId));
    const given = Buffer.from(note);
    return given.length === genuine.length && timingSafeEqual(given, genuine) ? imageId : null;
  }

  function begin(sandboxId: string, request: SnapshotRequest): Entry {
    if (entries.size >= rememberedSnapshots) {
      const oldestDone = [...entries].find(([, entry]) => !entry.running)?.[0];
      if (oldestDone === undefined)
        throw new GatewayFault("transient", "gateway_busy", "Too many snapshots are running.", "Repeat the call in a minute.");
      entries.delete(oldestDone);
    }
    const entry: Entry = { running: true, result: snapshot(sandboxId, request) };
    entries.set(sandboxId, entry);
    entry.result.then(
      ({ providerImageId, durationMs }) => {
        entry.running = false;
        log.info("snapshot_done", { sandboxId, providerImageId, ms: Math.round(durationMs) });
      },
      (error: unknown) => {
        entry.running = false;
        const failure = classifyFailure(error, "sandbox");
        log.warn("snapshot_failed", { sandboxId, code: failure.code, message: failure.message });
        // Only what certainly made no image may be tried again.
        if (failure.kind === "transient") entries.delete(sandboxId);
      },
    );
    return entry;
  }

  return {
    async take(sandboxId, request) {
      const entry = entries.get(sandboxId) ?? begin(sandboxId, request);
      try {
        return await withDeadline("the snapshot request", deadlinesMs.snapshotHold, entry.result);
      } catch (error) {
        if (!(error instanceof DeadlineError) || !entry.running) throw error;
        throw new GatewayFault(
          "transient",
          "snapshot_in_progress",
          "The snapshot is still being taken.",
          "Repeat the call: it joins.",
        );
      }
    },
  };
}

function ambiguous(cause: string): GatewayFault {
  return new GatewayFault(
    "permanent",
    "snapshot_ambiguous",
    `It is not known whether the snapshot was made. ${cause}`,
    "Build anew. An image without an owner may exist at Modal; a TTL bounds its cost.",
  );
}
