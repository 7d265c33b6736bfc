/**
 * Builds image layers: a guest on the parent filesystem runs the layer's commands and is snapshotted. Identical builds share
 * one. Knows nothing of gRPC messages or of who asks.
 */
import { createHash } from "node:crypto";
import { posix } from "node:path";
import { DockerfileError, type DockerfileStep, expandVariables, hasVariables, parseDockerfile } from "./dockerfile.ts";
import { type Guest, type SandboxEngine } from "./engine/engine.ts";
import { newImageId } from "./ids.ts";
import { type Images } from "./images.ts";
import { createOutputTail } from "./output-tail.ts";
import { type ImageRecord } from "./state-store.ts";
import { within } from "./waiting.ts";

const buildLimitMs = 60 * 60 * 1000;
/** Of a failed command's output, what its error shows. */
const shownLines = 50;
/** Of the failed instruction itself: one that carries a file is long. */
const shownInstruction = 300;
const keptResults = 500;
const closeLimitMs = 10_000;

interface LayerSpec {
  commands: string[];
  /** the image that `FROM <dockerTag>` names; null: FROM names a registry tag */
  parent: ImageRecord | null;
  secrets: Record<string, string>;
  force: boolean;
}

export type BuildResult = { ok: true } | { ok: false; exception: string };

export interface ImageBuilder {
  /** Starts or joins the build. `result` is null while it runs. */
  build(spec: LayerSpec): Promise<{ imageId: string; result: BuildResult | null }>;
  /** null: no build of that image is known to this process */
  result(imageId: string): Promise<BuildResult> | null;
  close(): Promise<void>;
}

/** The environment that a process gets from the guest alone. */
async function readEnvironment(guest: Guest): Promise<Record<string, string>> {
  const process = await guest.exec({ argv: ["/usr/bin/env", "-0"], env: {}, workdir: "/", timeoutMs: 10_000, pty: false });
  const output: Uint8Array[] = [];
  process.onOutput((fd, bytes) => {
    if (fd === 1) output.push(bytes);
  });
  await process.exit;
  const entries = Buffer.concat(output).toString("utf8").split("\0");
  return Object.fromEntries(entries.filter((entry) => entry.includes("=")).map((entry) => splitOnce(entry)));
}
function splitOnce(entry: string): [string, string] {
  const at = entry.indexOf("=");
  return [entry.slice(0, at), entry.slice(at + 1)];
}

export function createImageBuilder(deps: {
  engine: SandboxEngine;
  images: Images;
  salt: string;
  now: () => number;
  log: (line: string) => void;
}): ImageBuilder {
  const { engine, images, now, log } = deps;
  const running = new Map<string, string>();
  const results = new Map<string, Promise<BuildResult>>();
  const guests = new Set<Guest>();
  const closing = Promise.withResolvers<never>();
  closing.promise.catch(() => {});

  const recipeOf = (spec: LayerSpec) =>
    createHash("sha256")
      .update(JSON.stringify([deps.salt, spec.parent?.id ?? null, spec.commands, Object.entries(spec.secrets).sort()]))
      .digest("hex");

  async function runStep(
    guest: Guest,
    argv: string[],
    env: Record<string, string>,
    workdir: string,
    text: string,
    endsAt: number,
  ) {
    const tail = createOutputTail(shownLines);
    const shown = text.length > shownInstruction ? `${text.slice(0, shownInstruction)}…` : text;
    const leftMs = endsAt - now();
    if (leftMs <= 0)
      throw new DockerfileError(`${shown}\nnot started: the build took longer than ${buildLimitMs / 60_000} minutes.`);
    const process = await guest.exec({ argv, env, workdir, timeoutMs: leftMs, pty: false });
    process.onOutput((_fd, bytes) => tail.add(bytes));
    await process.closeStdin();
    const code = await process.exit;
    if (code !== 0) throw new DockerfileError(`${shown}\nended with code ${code}. The last lines of its output:\n${tail.text()}`);
  }

  async function createBuildGuest(imageId: string, filesystem: string): Promise<Guest> {
    const guest = await engine.createGuest({
      id: `build-${imageId}`,
      filesystem,
      env: {},
      workdir: null,
      cpu: null,
      memoryMiB: null,
      network: { blockNetwork: false, outboundDomainAllowlist: null, outboundCidrAllowlist: null },
    });
    guests.add(guest);
    return guest;
  }

  async function runSteps(spec: LayerSpec, imageId: string, parentFilesystem: string, steps: DockerfileStep[]) {
    const env = { ...spec.parent?.env };
    let workdir = spec.parent?.workdir ?? null;
    const endsAt = now() + buildLimitMs;
    let started: Promise<Guest> | null = null;
    let inherited: Promise<Record<string, string>> | null = null;
    let isChanged = false;
    const guest = () => {
      started ??= createBuildGuest(imageId, parentFilesystem);
      return started;
    };
    // what the image does not set, such as PATH, comes from the guest itself
    const expand = async (template: string) => {
      if (!hasVariables(template)) return expandVariables(template, env);
      inherited ??= guest().then(readEnvironment);
      return expandVariables(template, { ...(await inherited), ...env });
    };
    try {
      for (const step of steps) {
        if (step.kind === "env") {
          for (const [name, template] of step.entries) env[name] = await expand(template);
          continue;
        }
        isChanged = true;
        if (step.kind === "run") {
          await runStep(await guest(), step.argv, { ...env, ...spec.secrets }, workdir ?? "/", step.text, endsAt);
        } else {
          workdir = posix.resolve(workdir ?? "/", await expand(step.template));
          await runStep(await guest(), ["/bin/mkdir", "-p", "--", workdir], env, "/", step.text, endsAt);
        }
      }
      const filesystem = isChanged ? await engine.snapshot((await guest()).id) : parentFilesystem;
      return { filesystem, env, workdir, isNew: isChanged };
    } finally {
      const running = await (started as Promise<Guest> | null)?.catch(() => null);
      if (running) {
        guests.delete(running);
        await running.kill();
      }
    }
  }

  async function run(imageId: string, spec: LayerSpec, recipe: string): Promise<BuildResult> {
    const startedAt = now();
    try {
      const { from, steps } = parseDockerfile(spec.commands);
      const parentFilesystem = spec.parent?.filesystem ?? (await Promise.race([engine.filesystemFromTag(from), closing.promise]));
      const layer = await runSteps(spec, imageId, parentFilesystem, steps);
      await images.add(
        {
          filesystem: layer.filesystem,
          ownsFilesystem: layer.isNew || (spec.parent?.ownsFilesystem ?? false),
          env: layer.env,
          workdir: layer.workdir,
          origin: { kind: "build", recipe, parentFilesystem },
          expiresAt: null,
        },
        imageId,
      );
      log(`image ${imageId} built in ${now() - startedAt} ms`);
      return { ok: true };
    } catch (cause) {
      const exception = cause instanceof Error ? cause.message : String(cause);
      log(`image ${imageId} failed after ${now() - startedAt} ms`);
      return { ok: false, exception };
    }
  }

  return {
    build: async (spec) => {
      const recipe = recipeOf(spec);
      const joined = running.get(recipe);
      if (joined) return { imageId: joined, result: null };
      if (!spec.force) {
        const cached = await findCached(spec, recipe);
        if (cached) return { imageId: cached.id, result: { ok: true } };
        const started = running.get(recipe);
        if (started) return { imageId: started, result: null };
      }
      const imageId = newImageId();
      running.set(recipe, imageId);
      const result = run(imageId, spec, recipe).finally(() => running.delete(recipe));
      results.set(imageId, result);
      const oldest = results.keys().next().value;
      if (results.size > keptResults && oldest !== undefined) results.delete(oldest);
      return { imageId, result: null };
    },
    result: (imageId) => results.get(imageId) ?? (images.get(imageId) ? Promise.resolve({ ok: true }) : null),
    close: async () => {
      closing.reject(new Error("The build was given up: the server is stopping."));
      const killed = Promise.all([...guests].map((guest) => guest.kill()));
      await within(Promise.all([killed, ...results.values()]), closeLimitMs, new AbortController().signal);
    },
  };

  /** A tag is resolved anew each time: what it stands for may have changed since the image was built. */
  async function findCached(spec: LayerSpec, recipe: string): Promise<ImageRecord | null> {
    if (spec.parent) return images.findBuild(recipe, spec.parent.filesystem);
    if (!images.list().some(({ origin }) => origin.kind === "build" && origin.recipe === recipe)) return null;
    const { from } = parseDockerfile(spec.commands);
    return images.findBuild(recipe, await engine.filesystemFromTag(from));
  }
}
