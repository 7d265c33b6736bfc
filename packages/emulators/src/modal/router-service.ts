/** The task command router's RPCs: exec, stdio and snapshots of one sandbox. Knows nothing of apps, names or image builds. */
import { type CallContext, Status } from "nice-grpc";
import { type Access } from "./access.ts";
import { type SandboxEngine } from "./engine/engine.ts";
import { type ExecProcess, type OutputRouting } from "./exec-process.ts";
import { type Images } from "./images.ts";
import { type OutputLog, OutputLostError } from "./output-log.ts";
import { untilReady } from "./readiness.ts";
import { clientStream, fail, type RpcHandlers, serverStream, unary } from "./rpc.ts";
import { type Sandbox } from "./sandbox.ts";
import { type Sandboxes } from "./sandboxes.ts";
import { type Secrets } from "./secrets.ts";
import { within } from "./waiting.ts";
import { outputConfig, router, routerFd } from "./wire.ts";

const defaultTtlMs = 30 * 24 * 60 * 60 * 1000;
const keepForever = -1;

export interface RouterDeps {
  access: Access;
  engine: SandboxEngine;
  images: Images;
  sandboxes: Sandboxes;
  secrets: Secrets;
  now: () => number;
}

function toRouting(stdoutConfig: number, stderrConfig: number): OutputRouting {
  const stdout = stdoutConfig === outputConfig.devNull ? null : "stdout";
  if (stderrConfig === outputConfig.devNull) return { stdout, stderr: null };
  return { stdout, stderr: stderrConfig === outputConfig.stdout ? stdout : "stderr" };
}

async function* follow(log: OutputLog, from: number, signal: AbortSignal) {
  try {
    yield* log.read(from, signal);
  } catch (cause) {
    if (cause instanceof OutputLostError) fail(Status.OUT_OF_RANGE, cause.message);
    throw cause;
  }
}

export function createRouterHandlers({ access, engine, images, sandboxes, secrets, now }: RouterDeps): RpcHandlers {
  function sandboxOf(taskId: string, context: CallContext): Sandbox {
    access.requireTask(context, taskId);
    return sandboxes.byTask(taskId);
  }
  const execOf = ({ taskId, execId }: { taskId: string; execId: string }, context: CallContext): Promise<ExecProcess> =>
    sandboxOf(taskId, context).execs.get(execId);

  async function snapshot(sandbox: Sandbox, ttlSeconds: number | undefined, guestId: string): Promise<string> {
    const filesystem = await engine.snapshot(guestId);
    const ttlMs = ttlSeconds === undefined ? defaultTtlMs : ttlSeconds === keepForever ? null : ttlSeconds * 1000;
    const image = await images.add({
      filesystem,
      ownsFilesystem: true,
      env: sandbox.spec.image.env,
      workdir: sandbox.spec.image.workdir,
      origin: { kind: "snapshot", sandboxId: sandbox.spec.id },
      expiresAt: ttlMs === null ? null : now() + ttlMs,
    });
    return image.id;
  }

  return {
    taskExecStart: unary(router.execStart, async (request, context) => {
      const sandbox = sandboxOf(request.taskId, context);
      if (request.containerId) fail(Status.UNIMPLEMENTED, "The emulator has no sidecar containers.");
      sandbox.requireRunning();
      await sandbox.execs.start(
        request.execId,
        {
          argv: request.commandArgs,
          env: { ...request.env, ...secrets.merge(request.secretIds, request.secretSources) },
          workdir: request.workdir ?? null,
          timeoutMs: request.timeoutSecs ? request.timeoutSecs * 1000 : null,
          pty: request.ptyInfo?.enabled ?? false,
        },
        toRouting(request.stdoutConfig, request.stderrConfig),
      );
      return {};
    }),

    taskExecStdioRead: serverStream(router.execRead, async function* (request, context) {
      const process = await execOf(request, context);
      const log = request.fileDescriptor === routerFd.stdout ? process.stdout : process.stderr;
      for await (const { data } of follow(log, request.offset, context.signal)) yield { data };
    }),

    taskExecWait: unary(router.exec, async (request, context) => {
      const process = await execOf(request, context);
      const code = await within(process.exit, Number.POSITIVE_INFINITY, context.signal);
      return code === null ? fail(Status.CANCELLED, "The caller went away.") : { code };
    }),

    taskExecPoll: unary(router.exec, async (request, context) => {
      const { exitCode } = await execOf(request, context);
      return exitCode === null ? {} : { code: exitCode };
    }),

    taskExecStdinWrite: unary(router.execStdin, async (request, context) => {
      const process = await execOf(request, context);
      sandboxOf(request.taskId, context).touch();
      await process.writeStdin(request.offset, request.data, request.eof);
      return {};
    }),

    taskExecStdinStatus: unary(router.exec, async (request, context) => {
      const process = await execOf(request, context);
      process.takeStdin();
      return process.stdinStatus();
    }),

    taskExecStdinWriteStream: clientStream(router.execStdinStream, async (requests, context) => {
      let target: { process: ExecProcess; offset: number; taken: AbortSignal } | null = null;
      for await (const { start, data, end } of requests) {
        if (start) {
          const process = await execOf(start, context);
          target = { process, offset: start.offset, taken: process.takeStdin() };
          continue;
        }
        if (!target) return fail(Status.INVALID_ARGUMENT, "The stream has to begin with its start.");
        if (target.taken.aborted) return fail(Status.ABORTED, "Another stream writes to this process now.");
        await target.process.writeStdin(target.offset, data ?? new Uint8Array(0), end !== undefined);
        target.offset += data?.length ?? 0;
        if (end) return {};
      }
      return {};
    }),

    taskSnapshotFilesystem: unary(router.snapshotFilesystem, async (request, context) => {
      const sandbox = sandboxOf(request.taskId, context);
      if (request.containerId) fail(Status.UNIMPLEMENTED, "The emulator has no sidecar containers.");
      const imageId = await sandbox.snapshot(request.snapshotId, (guestId) => {
        sandbox.requireRunning();
        return snapshot(sandbox, request.ttlSeconds, guestId);
      });
      return { imageId };
    }),

    sandboxStdioReadV2: serverStream(router.sandboxRead, async function* (request, context) {
      const sandbox = sandboxOf(request.taskId, context);
      if (!sandbox.entrypoint) {
        await within(sandbox.ended, Number.POSITIVE_INFINITY, context.signal);
        return;
      }
      const { stdout, stderr } = sandbox.entrypoint;
      const log = request.fileDescriptor === routerFd.stdout ? stdout : stderr;
      // unlike an exec's, this output is promised only in its latest part: a reader is told where it starts
      const from = Math.max(request.offset, log.startOffset);
      for await (const { offset, data } of follow(log, from, context.signal)) yield { data, startingOffset: offset };
    }),

    sandboxWaitUntilReady: unary(router.waitUntilReady, async (request, context) => {
      const sandbox = sandboxOf(request.taskId, context);
      const { probe } = sandbox.spec;
      if (!probe) return fail(Status.FAILED_PRECONDITION, "This sandbox was created without a readiness probe.");
      const signal = AbortSignal.any([context.signal, AbortSignal.timeout(Math.ceil(request.timeout * 1000))]);
      const readyAt = await untilReady(sandbox.requireRunning(), probe, signal, now);
      return readyAt === null
        ? fail(Status.DEADLINE_EXCEEDED, "The sandbox was not ready in time.")
        : { readyAt: readyAt / 1000 };
    }),

    sandboxStdinWriteV2: unary(router.sandboxStdin, async (request, context) => {
      const sandbox = sandboxOf(request.taskId, context);
      if (!sandbox.entrypoint)
        fail(Status.FAILED_PRECONDITION, "This sandbox has no command that could read its standard input.");
      sandbox.touch();
      await sandbox.entrypoint?.writeStdin(request.offset, request.data, request.eof);
      return {};
    }),
  };
}
