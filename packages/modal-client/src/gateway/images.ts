/**
 * The images that sandboxes start from: the base, built once in the background, and snapshots by id. Knows nothing of
 * sandboxes. Modal caches the base's layers, so that a restart of the gateway only asks for them.
 */
import { baseNotReadyCode } from "@open-inspect/protocol";
import { type Image } from "modal";
import { debianBaseImage, type RuntimeBundle, runtimeLayer, selectLines } from "../base-image.ts";
import { baseName, type GatewayBase } from "./config.ts";
import { type GatewayDeadlines, withDeadline } from "./deadlines.ts";
import { classifyFailure, type GatewayFailure, GatewayFault } from "./errors.ts";
import { createHandles } from "./handles.ts";
import { type Log } from "./log.ts";
import { type Provider } from "./provider.ts";

const buildLimitMs = 40 * 60_000;
const firstPauseMs = 500;
const longestPauseMs = 60_000;
const rememberedImages = 1_000;

type BaseState = { status: "waiting"; failure: GatewayFailure | null } | { status: "ready"; image: Image };

export interface Images {
  /** Builds the base in the background, again and again with growing pauses until it is there. */
  warmUp(): void;
  base(): { name: string; ready: boolean; providerImageId: string | null };
  /** The base; waits a bounded while for a build in progress. A build that failed for good is reported at once. */
  awaitBase(): Promise<Image>;
  /** The base's image is gone at Modal: build it again. */
  dropBase(image: Image): void;
  /** A snapshot's image. Asks Modal only about images that this process has not seen. */
  byId(providerImageId: string): Promise<Image>;
  remember(image: Image): void;
  /** Answers whether Modal still knows the image, and forgets it if not. */
  exists(providerImageId: string): Promise<boolean>;
  delete(providerImageId: string): Promise<void>;
  close(): void;
}

export function createImages(options: {
  provider: Provider;
  base: GatewayBase;
  bundle: RuntimeBundle;
  log: Log;
  deadlinesMs: GatewayDeadlines;
}): Images {
  const { provider, base, bundle, log, deadlinesMs } = options;
  const snapshots = createHandles<Image>(rememberedImages);
  let state: BaseState = { status: "waiting", failure: null };
  let building = false;
  let closed = false;
  let changed = Promise.withResolvers<void>();
  let wake = () => {};

  function become(next: BaseState): void {
    state = next;
    changed.resolve();
    changed = Promise.withResolvers();
  }

  async function build(): Promise<Image> {
    const definition = base.kind === "registry" ? { from: base.tag, lines: [] } : selectLines(debianBaseImage, kindsOf(base));
    let image = provider.modal.images.fromRegistry(definition.from);
    for (const line of definition.lines) image = image.dockerfileCommands(line.instructions);
    image = image.dockerfileCommands(runtimeLayer(bundle));
    return withDeadline(
      "the build of the base image",
      buildLimitMs,
      provider.app().then((app) => image.build(app)),
    );
  }

  async function buildUntilReady(): Promise<void> {
    for (let pauseMs = firstPauseMs; !closed; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const startedAt = Date.now();
      try {
        const image = await build();
        log.info("base_image_ready", { base: baseName(base), providerImageId: image.imageId, ms: Date.now() - startedAt });
        return become({ status: "ready", image });
      } catch (error) {
        const failure = classifyFailure(error, "provider");
        log.warn("base_image_failed", { base: baseName(base), code: failure.code, message: failure.message, retryInMs: pauseMs });
        become({ status: "waiting", failure });
      }
      await pause(pauseMs);
    }
  }

  /** Ends early when somebody asks for the base, but lets the provider rest for the shortest pause. */
  function pause(pauseMs: number): Promise<void> {
    const startedAt = Date.now();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      wake = () => {
        clearTimeout(timer);
        setTimeout(resolve, closed ? 0 : Math.max(0, startedAt + firstPauseMs - Date.now()));
      };
    });
  }

  function warmUp(): void {
    if (building || closed) return;
    building = true;
    void buildUntilReady().finally(() => {
      building = false;
    });
  }

  return {
    warmUp,
    base: () => ({
      name: baseName(base),
      ready: state.status === "ready",
      providerImageId: state.status === "ready" ? state.image.imageId : null,
    }),
    async awaitBase() {
      const until = Date.now() + deadlinesMs.baseImage;
      for (;;) {
        if (state.status === "ready") return state.image;
        wake();
        const { failure } = state;
        if (failure !== null && failure.kind !== "transient")
          throw new GatewayFault(failure.kind, failure.code, failure.message, failure.hint, failure.lines);
        const leftMs = until - Date.now();
        if (leftMs <= 0 || closed)
          throw new GatewayFault(
            "transient",
            baseNotReadyCode,
            failure === null ? "The base image is still being built." : `The base image is not there yet. ${failure.message}`,
            "Repeat the call in a minute; the gateway goes on building.",
          );
        await withDeadline("the base image", leftMs, changed.promise).catch(() => {});
      }
    },
    dropBase(image) {
      if (state.status !== "ready" || state.image !== image) return;
      become({ status: "waiting", failure: null });
      warmUp();
    },
    async byId(providerImageId) {
      const known = snapshots.get(providerImageId);
      if (known !== undefined) return known;
      const image = await provider.modal.images.fromId(providerImageId);
      snapshots.set(providerImageId, image);
      return image;
    },
    remember: (image) => snapshots.set(image.imageId, image),
    async exists(providerImageId) {
      try {
        await provider.modal.images.fromId(providerImageId);
        return true;
      } catch (error) {
        if (classifyFailure(error, "image").code !== "image_missing") throw error;
        snapshots.delete(providerImageId);
        return false;
      }
    },
    async delete(providerImageId) {
      if (state.status === "ready" && state.image.imageId === providerImageId)
        throw new GatewayFault(
          "invalid_request",
          "base_image_in_use",
          "This is the base image that new sandboxes start from.",
          "Delete images of snapshots only.",
        );
      snapshots.delete(providerImageId);
      try {
        await provider.modal.images.delete(providerImageId);
      } catch (error) {
        if (classifyFailure(error, "image").code !== "image_missing") throw error;
      }
    },
    close() {
      closed = true;
      wake();
      changed.resolve();
      snapshots.clear();
    },
  };
}

function kindsOf(base: GatewayBase): ("apt" | "npm" | "copy" | "run")[] {
  return base.kind === "debian-packages" ? ["apt", "npm"] : ["apt", "npm", "copy", "run"];
}
