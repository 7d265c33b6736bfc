/** The control plane's RPCs about sandboxes, in both versions that the SDK speaks. Knows nothing of exec or snapshots. */
import { type CallContext, Status } from "nice-grpc";
import { type z } from "zod";
import { type Access } from "./access.ts";
import { createIdempotency } from "./idempotency.ts";
import { type Images } from "./images.ts";
import { fail, type RpcHandlers, serverStream, unary } from "./rpc.ts";
import { endings, type Sandbox } from "./sandbox.ts";
import { toSandboxSpec } from "./sandbox-request.ts";
import { type Sandboxes } from "./sandboxes.ts";
import { type Secrets } from "./secrets.ts";
import { type StateStore } from "./state-store.ts";
import { within } from "./waiting.ts";
import { control, type SecretSource, tagsToRecord, tagsToWire } from "./wire.ts";

const pageSize = 50;

export interface SandboxServiceDeps {
  access: Access;
  store: StateStore;
  images: Images;
  sandboxes: Sandboxes;
  secrets: Secrets;
  /** what the SDK dials for exec: it insists on https and then speaks plaintext to loopback hosts */
  routerUrl: () => string;
  /** bytes that a new sandbox with these tags may write; null: no limit */
  takeDisk: (tags: Record<string, string>) => number | null;
}

export function createSandboxHandlers(deps: SandboxServiceDeps): RpcHandlers {
  const { access, store, images, sandboxes, secrets, routerUrl, takeDisk } = deps;
  const idempotency = createIdempotency();
  const routerAccess = ({ spec }: Sandbox) => ({ url: routerUrl(), jwt: access.issueRouterToken(spec.taskId) });
  const wireTunnels = (sandbox: Sandbox) =>
    sandbox.tunnels.map(({ guestPort, hostPort, unencrypted }) => ({
      host: "127.0.0.1",
      port: hostPort,
      containerPort: guestPort,
      ...(unencrypted ? { unencryptedHost: "127.0.0.1", unencryptedPort: hostPort } : {}),
    }));

  async function create(
    version: "v1" | "v2",
    request: z.infer<typeof control.sandboxCreate> & { secretSources?: SecretSource[] },
    context: CallContext,
  ): Promise<Sandbox> {
    const { appId, definition, tags } = request;
    if (!store.state.apps.some((app) => app.id === appId)) fail(Status.NOT_FOUND, `App ${appId} is unknown.`);
    const image = images.get(definition.imageId) ?? fail(Status.NOT_FOUND, `Could not find image with ID ${definition.imageId}`);
    const env = secrets.merge(definition.secretIds, request.secretSources);
    context.signal.throwIfAborted();
    const spec = toSandboxSpec(version, appId, definition, tagsToRecord(tags), image, env);
    const diskBytes = takeDisk(spec.tags);
    return sandboxes.create(diskBytes === null ? spec : { ...spec, guest: { ...spec.guest, diskBytes } });
  }

  const getTaskId = unary(control.sandboxId, ({ sandboxId }) => ({ taskId: sandboxes.get(sandboxId).spec.taskId }));
  const terminate = unary(control.sandboxId, async ({ sandboxId }) => {
    const sandbox = sandboxes.get(sandboxId);
    const before = sandbox.state;
    await sandbox.end(endings.terminated);
    return before.status === "running" ? {} : { existingResult: before.result };
  });
  const wait = unary(control.sandboxWait, async ({ sandboxId, timeout }, context) => {
    const sandbox = sandboxes.get(sandboxId);
    const metadata = { appId: sandbox.spec.appId };
    if (sandbox.state.status === "ended") return { result: sandbox.state.result, metadata };
    const result = timeout > 0 ? await within(sandbox.ended, timeout * 1000, context.signal) : null;
    return result ? { result, metadata } : { metadata };
  });
  const fromName = unary(control.sandboxFromName, ({ sandboxName, appName, environmentName, includeTerminated }) => {
    const app = store.state.apps.find((each) => each.name === appName && each.environment === (environmentName || "main"));
    const sandbox = app ? sandboxes.byName(app.id, sandboxName, includeTerminated) : null;
    if (!sandbox) return fail(Status.NOT_FOUND, `Sandbox with name '${sandboxName}' not found in App '${appName}'`);
    return { sandboxId: sandbox.spec.id };
  });
  const list = unary(control.sandboxList, ({ appId, environmentName, beforeTimestamp, includeFinished, tags }) => {
    const environment = environmentName || "main";
    const inEnvironment = store.state.apps.filter((app) => app.environment === environment).map((app) => app.id);
    const page = sandboxes
      .list({
        appIds: new Set(appId ? [appId] : inEnvironment),
        tags: tagsToRecord(tags),
        before: beforeTimestamp,
        includeEnded: includeFinished,
      })
      .slice(0, pageSize);
    return {
      sandboxes: page.map((sandbox) => ({
        id: sandbox.spec.id,
        createdAt: sandbox.spec.createdAt,
        appId: sandbox.spec.appId,
        name: sandbox.spec.name ?? "",
        imageId: sandbox.spec.image.id,
        tags: tagsToWire(sandbox.tags),
        timeoutSecs: sandbox.spec.timeoutMs / 1000,
        taskInfo: { id: sandbox.spec.taskId, sandboxId: sandbox.spec.id, startedAt: sandbox.spec.createdAt },
      })),
    };
  });
  const tagsSet = unary(control.tagsSet, ({ sandboxId, tags }) => {
    sandboxes.get(sandboxId).tags = tagsToRecord(tags);
    return {};
  });
  const tagsGet = unary(control.sandboxId, ({ sandboxId }) => ({ tags: tagsToWire(sandboxes.get(sandboxId).tags) }));
  const tunnels = unary(control.sandboxId, ({ sandboxId }) => ({ tunnels: wireTunnels(sandboxes.get(sandboxId)) }));

  return {
    sandboxCreateV2: unary(control.sandboxCreateV2, (request, context) =>
      idempotency.once(context.metadata.get("x-idempotency-key"), async () => {
        const sandbox = await create("v2", request, context);
        return {
          sandboxId: sandbox.spec.id,
          taskId: sandbox.spec.taskId,
          tunnels: wireTunnels(sandbox),
          metadata: { appId: sandbox.spec.appId },
          commandRouterAccess: routerAccess(sandbox),
        };
      }),
    ),
    sandboxCreate: unary(control.sandboxCreate, (request, context) =>
      idempotency.once(context.metadata.get("x-idempotency-key"), async () => {
        const sandbox = await create("v1", request, context);
        return { sandboxId: sandbox.spec.id, metadata: { appId: sandbox.spec.appId } };
      }),
    ),
    sandboxGetTaskIdV2: getTaskId,
    sandboxGetTaskId: getTaskId,
    sandboxGetCommandRouterAccess: unary(control.sandboxId, ({ sandboxId }) => routerAccess(sandboxes.get(sandboxId))),
    taskGetCommandRouterAccess: unary(control.taskAccess, ({ taskId }) => routerAccess(sandboxes.byTask(taskId))),
    sandboxTerminateV2: terminate,
    sandboxTerminate: terminate,
    sandboxWaitV2: wait,
    sandboxWait: wait,
    sandboxGetFromNameV2: fromName,
    sandboxGetFromName: fromName,
    sandboxListV2: list,
    sandboxList: list,
    sandboxTagsSetV2: tagsSet,
    sandboxTagsSet: tagsSet,
    sandboxTagsGetV2: tagsGet,
    sandboxTagsGet: tagsGet,
    sandboxGetTunnelsV2: tunnels,
    sandboxGetTunnels: tunnels,

    // V1 only: V2 reads the entrypoint through the router. `lastEntryId` carries the offset.
    sandboxGetLogs: serverStream(
      control.sandboxLogs,
      async function* ({ sandboxId, fileDescriptor, lastEntryId, timeout }, context) {
        const { entrypoint, ended } = sandboxes.get(sandboxId);
        const log = fileDescriptor === 2 ? entrypoint?.stderr : entrypoint?.stdout;
        const signal = AbortSignal.any([context.signal, AbortSignal.timeout((timeout || 55) * 1000)]);
        const decoder = new TextDecoder();
        if (!log) {
          await within(ended, Number.POSITIVE_INFINITY, signal);
        } else {
          const from = Math.max(Number(lastEntryId.split("-")[0]), log.startOffset);
          for await (const { offset, data } of log.read(from, signal)) {
            const text = decoder.decode(data, { stream: true });
            yield { entryId: `${offset + data.length}-0`, items: [{ data: text, fileDescriptor }], sandboxId };
          }
        }
        if (!signal.aborted) yield { entryId: lastEntryId, eof: true, sandboxId };
      },
    ),
    sandboxStdinWrite: unary(control.sandboxStdin, async ({ sandboxId, input, eof }) => {
      const { entrypoint } = sandboxes.get(sandboxId);
      if (!entrypoint) return fail(Status.FAILED_PRECONDITION, "This sandbox has no command that could read its standard input.");
      await entrypoint.writeStdin(entrypoint.stdinStatus().numBytesWritten, input, eof);
      return {};
    }),
  };
}
