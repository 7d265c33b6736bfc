/** The control plane's RPCs about the account, apps, secrets and images. Knows no sandboxes. */
import { Status } from "nice-grpc";
import { type Access } from "./access.ts";
import { newAppId, newEnvironmentId } from "./ids.ts";
import { type BuildResult, type ImageBuilder } from "./image-builder.ts";
import { type Images } from "./images.ts";
import { fail, type RpcHandlers, serverStream, unary } from "./rpc.ts";
import { type Secrets } from "./secrets.ts";
import { type StateStore } from "./state-store.ts";
import { within } from "./waiting.ts";
import { control, creation, resultStatus, type WireResult } from "./wire.ts";

/** What the environment says its image builder is; part of no cache key here. */
const imageBuilderVersion = "2025.06";
/** Most builds that do nothing end within this: their caller is spared a second call. */
const quickBuildMs = 20;

export interface ControlDeps {
  access: Access;
  store: StateStore;
  images: Images;
  builder: ImageBuilder;
  secrets: Secrets;
}

const toWireResult = (result: BuildResult): WireResult =>
  result.ok
    ? { status: resultStatus.success, exitcode: 0, exception: "" }
    : { status: resultStatus.failure, exitcode: 1, exception: result.exception };

/** Modal's default environment has an empty name on the wire. */
const environmentOf = (name: string) => name || "main";

export function createControlHandlers({ access, store, images, builder, secrets }: ControlDeps): RpcHandlers {
  const { state } = store;
  const environmentIds = new Map<string, string>();
  const noImage = (id: string) => fail(Status.NOT_FOUND, `Could not find image with ID ${id}`);

  return {
    authTokenGet: unary(control.empty, (_request, context) => ({ token: access.issueAuthToken(context) })),

    environmentGetOrCreate: unary(control.environmentGetOrCreate, ({ deploymentName }) => {
      const name = environmentOf(deploymentName);
      const environmentId = environmentIds.get(name) ?? newEnvironmentId();
      environmentIds.set(name, environmentId);
      return { environmentId, metadata: { name, settings: { imageBuilderVersion, webhookSuffix: "" } } };
    }),

    appGetOrCreate: unary(control.appGetOrCreate, async ({ appName, environmentName, objectCreationType }) => {
      const environment = environmentOf(environmentName);
      let app = state.apps.find((each) => each.name === appName && each.environment === environment);
      if (!app) {
        if (objectCreationType === creation.lookup) fail(Status.NOT_FOUND, `App '${appName}' not found`);
        app = { id: newAppId(), name: appName, environment };
        state.apps.push(app);
      }
      // also for one that is there: another call may still be writing it
      await store.save();
      return { appId: app.id, handleMetadata: { appId: app.id, description: appName, environmentName: environment } };
    }),

    secretGetOrCreate: unary(control.secretGetOrCreate, ({ deploymentName, objectCreationType, envDict }) => {
      if (objectCreationType === creation.ephemeral) return { secretId: secrets.create(envDict) };
      return fail(Status.NOT_FOUND, `Secret '${deploymentName}' not found: the emulator has no named secrets.`);
    }),

    imageGetOrCreate: unary(control.imageGetOrCreate, async ({ image, forceBuild }, context) => {
      const base = image.baseImages[0];
      const parent = base ? (images.get(base.imageId) ?? noImage(base.imageId)) : null;
      const started = await builder.build({
        commands: image.dockerfileCommands,
        parent,
        secrets: secrets.merge(image.secretIds),
        force: forceBuild,
      });
      const pending = started.result ? null : builder.result(started.imageId);
      const result = pending ? await within(pending, quickBuildMs, context.signal) : started.result;
      return { imageId: started.imageId, metadata: { imageBuilderVersion }, ...(result ? { result: toWireResult(result) } : {}) };
    }),

    imageJoinStreaming: serverStream(control.imageJoin, async function* ({ imageId, timeout }, context) {
      const pending = builder.result(imageId) ?? noImage(imageId);
      const result = await within(pending, timeout * 1000, context.signal);
      if (result) yield { entryId: "1-0", eof: true, result: toWireResult(result), metadata: { imageBuilderVersion } };
    }),

    imageFromId: unary(control.imageId, ({ imageId }) => {
      const image = images.get(imageId) ?? noImage(imageId);
      return { imageId: image.id, metadata: { imageBuilderVersion } };
    }),

    imageDelete: unary(control.imageId, async ({ imageId }) => {
      if (!(await images.remove(imageId))) noImage(imageId);
      return {};
    }),

    imagePublish: unary(control.imagePublish, async ({ imageId, environmentName, tag }) => {
      if (!(await images.publish(`${environmentOf(environmentName)}/${tag}`, imageId))) noImage(imageId);
      return { imageId };
    }),

    imageGetByTag: unary(control.imageByTag, ({ environmentName, tag }) => {
      const image = images.byName(`${environmentOf(environmentName)}/${tag}`);
      return image ? { imageId: image.id } : fail(Status.NOT_FOUND, `Image '${tag}' not found`);
    }),
  };
}
