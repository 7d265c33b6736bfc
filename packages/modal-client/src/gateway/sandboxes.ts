/**
 * Sandboxes at Modal: create by name, start the runtime, status, logs, terminate, list. Every call may be repeated. Knows
 * nothing of HTTP, of snapshots or of what the runtime does.
 */
import {
  baseNotReadyCode,
  type CreateSandboxRequest,
  type CreateSandboxResponse,
  type RuntimeConfig,
  type SandboxList,
  type SandboxLogs,
  type SandboxStatus,
  type StartSandboxResponse,
} from "@open-inspect/protocol";
import { type Image, type Sandbox } from "modal";
import { type GatewayDeadlines, withDeadline } from "./deadlines.ts";
import { classifyFailure, GatewayFault } from "./errors.ts";
import { readShell, runShell } from "./exec.ts";
import { createHandles } from "./handles.ts";
import { type Images } from "./images.ts";
import { aliveOutcomes, aliveScript, type LaunchOutcome, launchOutcomes, logScript } from "./launcher.ts";
import { createLaunches } from "./launches.ts";
import { type Provider } from "./provider.ts";

const rememberedSandboxes = 500;
const nameAttempts = 6;
const namePauseMs = 50;
/** for the look at the runtime: what takes longer is not known */
const lookLimitMs = 8_000;
const longestList = 1_000;
const tagReaders = 8;
/** of log, per call */
const logChunkBytes = 256 * 1024;

export interface Sandboxes {
  create(name: string, request: CreateSandboxRequest): Promise<CreateSandboxResponse>;
  start(sandboxId: string, config: RuntimeConfig): Promise<StartSandboxResponse>;
  /** `withRuntime` costs a command in the sandbox and says whether the runtime that was started there still runs. */
  status(sandboxId: string, withRuntime: boolean): Promise<SandboxStatus>;
  logs(sandboxId: string, offset: number): Promise<SandboxLogs>;
  terminate(sandboxId: string): Promise<void>;
  list(tags: Record<string, string>): Promise<SandboxList>;
  /** The SDK's object, with its open connection where there is one. */
  handle(sandboxId: string): Promise<Sandbox>;
  close(): void;
}

export function createSandboxes(options: {
  provider: Provider;
  images: Images;
  appName: string;
  deadlinesMs: GatewayDeadlines;
}): Sandboxes {
  const { provider, images, appName, deadlinesMs } = options;
  const { modal } = provider;
  // What create answers includes the way to the sandbox's router: keeping the object saves start two round trips.
  const handles = createHandles<Sandbox>(rememberedSandboxes, (sandbox) => sandbox.detach());

  const launches = createLaunches({ handle, limitMs: deadlinesMs.exec });

  async function handle(sandboxId: string): Promise<Sandbox> {
    const known = handles.get(sandboxId);
    if (known !== undefined) return known;
    const sandbox = await modal.sandboxes.fromId(sandboxId);
    handles.set(sandboxId, sandbox);
    return sandbox;
  }

  /** One call when all is known. A name that is taken is the same sandbox asked for again, unless it ended just now. */
  async function createOrAdopt(name: string, image: Image, request: CreateSandboxRequest) {
    const app = await provider.app();
    for (let attempt = 1; ; attempt++) {
      try {
        const sandbox = await modal.sandboxes.create(app, image, {
          name,
          tags: request.tags,
          cpu: request.cpu,
          memoryMiB: request.memoryMiB,
          timeoutMs: request.timeoutMs,
        });
        return { sandbox, created: true };
      } catch (error) {
        if (!(error instanceof Error) || error.name !== "AlreadyExistsError") throw error;
      }
      try {
        return { sandbox: await modal.sandboxes.fromName(appName, name), created: false };
      } catch (error) {
        if (classifyFailure(error, "sandbox").kind !== "not_found") throw error;
        // Taken, yet not to be found: it is just being made by another call, or just ending.
        if (attempt === nameAttempts)
          throw new GatewayFault(
            "transient",
            "name_taken",
            "The sandbox's name is not free yet.",
            "Repeat the call in a second.",
          );
        await new Promise((resolve) => setTimeout(resolve, namePauseMs * attempt));
      }
    }
  }

  /** Modal may say in several ways that an image is gone; only asking for the image itself is proof. */
  async function explainCreateFailure(error: unknown, image: Image, request: CreateSandboxRequest): Promise<never> {
    const failure = classifyFailure(error, "image");
    const suspicious = failure.kind === "not_found" || failure.code === "provider_rejected";
    if (!suspicious || (await images.exists(image.imageId))) throw error;
    if (request.source.kind === "base") {
      images.dropBase(image);
      throw new GatewayFault(
        "transient",
        baseNotReadyCode,
        "The base image was gone and is being built again.",
        "Repeat the call in a minute.",
      );
    }
    throw new GatewayFault(
      "not_found",
      "image_missing",
      "Modal does not know this image any more.",
      "Start from the base and build a new image.",
    );
  }

  return {
    handle,
    async create(name, request) {
      const startedAt = performance.now();
      const baseWasThere = request.source.kind !== "base" || images.base().ready;
      const image =
        request.source.kind === "base"
          ? await images.awaitBase()
          : await withSubject("image", images.byId(request.source.providerImageId));
      const baseWaitMs = baseWasThere ? 0 : performance.now() - startedAt;
      const { sandbox, created } = await withDeadline(
        "creating the sandbox",
        deadlinesMs.create,
        createOrAdopt(name, image, request),
      ).catch((error: unknown) => explainCreateFailure(error, image, request));
      handles.set(sandbox.sandboxId, sandbox);
      if (created) launches.sendAhead(sandbox);
      return { sandboxId: sandbox.sandboxId, created, durationMs: performance.now() - startedAt, baseWaitMs };
    },

    async start(sandboxId, config) {
      const startedAt = performance.now();
      const code = await launches.launch(sandboxId, JSON.stringify(config));
      return { started: toStarted(code), durationMs: performance.now() - startedAt };
    },

    async status(sandboxId, withRuntime) {
      try {
        const sandbox = await handle(sandboxId);
        const exitCode = await sandbox.poll();
        const status = toStatus(exitCode, exitCode === killedCode ? await readEnding(sandboxId) : null);
        if (status.status === "ended" || !withRuntime) return status;
        return { ...status, runtime: await lookForRuntime(sandbox) };
      } catch (error) {
        if (classifyFailure(error, "sandbox").kind !== "not_found") throw error;
        return { status: "ended", exitCode: null, reason: "unknown" };
      }
    },

    async logs(sandboxId, offset) {
      const bytes = await readShell(await handle(sandboxId), {
        script: logScript,
        args: [String(offset), String(logChunkBytes)],
        limitMs: deadlinesMs.exec,
      });
      const whole = bytes.subarray(0, wholeCharacters(bytes));
      return { text: new TextDecoder().decode(whole), nextOffset: offset + whole.length };
    },

    async terminate(sandboxId) {
      try {
        await (await handle(sandboxId)).terminate();
      } catch (error) {
        if (classifyFailure(error, "sandbox").kind !== "not_found") throw error;
      }
      handles.delete(sandboxId);
      launches.forget(sandboxId);
    },

    list: (tags) => withDeadline("listing the sandboxes", deadlinesMs.list, list(tags)),
    close: () => {
      launches.close();
      handles.clear();
    },
  };

  /** The answer that the SDK made an exit code of. null: it cannot be had, and the exit code has to do. */
  async function readEnding(sandboxId: string): Promise<Ending | null> {
    const { result } = await modal.cpClient.sandboxWaitV2({ sandboxId, timeout: 0 }).catch(() => ({ result: undefined }));
    return result ? { status: result.status, exception: result.exception } : null;
  }

  async function lookForRuntime(sandbox: Sandbox): Promise<"running" | "gone" | "unknown"> {
    const look = { script: aliveScript, args: [sandbox.sandboxId], limitMs: lookLimitMs };
    const code = await runShell(sandbox, look).catch(() => null);
    return Object.entries(aliveOutcomes).find(([known]) => Number(known) === code)?.[1] ?? "unknown";
  }

  async function list(tags: Record<string, string>): Promise<SandboxList> {
    const app = await provider.app();
    const found: Sandbox[] = [];
    for await (const sandbox of modal.sandboxes.list({ appId: app.appId, tags })) {
      if (found.push(sandbox) === longestList) break;
    }
    const sandboxes: SandboxList["sandboxes"] = [];
    const queue = found.values();
    // The SDK lists ids only, so that the tags cost one call each.
    const readTags = async () => {
      for (const sandbox of queue) {
        try {
          sandboxes.push({ sandboxId: sandbox.sandboxId, tags: await sandbox.getTags() });
        } catch (error) {
          if (classifyFailure(error, "sandbox").kind !== "not_found") throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: tagReaders }, readTags));
    return { sandboxes };
  }
}

async function withSubject<T>(subject: "image", work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const failure = classifyFailure(error, subject);
    throw new GatewayFault(failure.kind, failure.code, failure.message, failure.hint);
  }
}

/** of a main process that SIGKILL ended, and what the SDK makes of a termination */
const killedCode = 137;
/** by the number in Modal's protocol, which the SDK does not export */
const statusFailure = 2;

/** How a sandbox ended in Modal's own words. */
export interface Ending {
  status: number;
  exception: string;
}

/**
 * Pure. The SDK folds Modal's statuses into exit codes: 124 is the lifetime's end, 137 a termination or a kill. `ending` tells these two
 * apart: a main process that failed by being killed, and was not terminated, was ended by the kernel for its memory.
 */
export function toStatus(exitCode: number | null, ending: Ending | null): SandboxStatus {
  if (exitCode === null) return { status: "running" };
  if (exitCode === 124) return { status: "ended", exitCode, reason: "timeout" };
  if (exitCode !== killedCode) return { status: "ended", exitCode, reason: "exited" };
  const isMemory = ending !== null && (/out of memory|\boom\b/i.test(ending.exception) || ending.status === statusFailure);
  return { status: "ended", exitCode, reason: isMemory ? "out_of_memory" : "terminated" };
}

/** Pure. Bytes up to the last complete UTF-8 character; all of them when the rest is not UTF-8 at all. */
export function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0b1100_0000) === 0b1000_0000) continue; // inside a character
    const length = byte >= 0b1111_0000 ? 4 : byte >= 0b1110_0000 ? 3 : byte >= 0b1100_0000 ? 2 : 1;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Pure. */
export function toStarted(code: number): boolean {
  const outcome = Object.entries(launchOutcomes).find(([known]) => Number(known) === code)?.[1];
  if (outcome === "started") return true;
  if (outcome === "already_started") return false;
  if (outcome === undefined) {
    // 124 and 137: the script met its limit or the sandbox ended under it. Whether it launched is for a repetition to say.
    if (code === 124 || code >= 128)
      throw new GatewayFault("transient", "start_interrupted", "The start of the runtime was interrupted.", "Repeat the call.");
    throw new GatewayFault(
      "permanent",
      "start_failed",
      `The launcher ended with code ${code}.`,
      "Check that the base image has /bin/sh, setsid, tini and node.",
    );
  }
  const [kind, message, hint] = launchFaults[outcome];
  throw new GatewayFault(kind, `start_${outcome}`, message, hint);
}

const launchFaults: Record<
  Exclude<LaunchOutcome, "started" | "already_started">,
  readonly ["transient" | "permanent", message: string, hint: string]
> = {
  config_incomplete: ["transient", "The config did not reach the sandbox as a whole.", "Repeat the call."],
  tools_missing: ["permanent", "The sandbox has no setsid, tini or node.", "Check GATEWAY_BASE of the gateway."],
  runtime_missing: ["permanent", "The image does not hold the runtime.", "Build a new image."],
  died_at_once: ["permanent", "The runtime ended at once.", "Read the sandbox's log."],
  state_dir_unusable: ["permanent", "The runtime's directory cannot be written.", "Check that the image's /run is writable."],
};
