/** `/api/repositories`: the list, the branches, the image's switch, its state and its refresh. */
import {
  type BranchList,
  type BuildAccepted,
  type CommitInfo,
  type ImageState,
  imageScopeOf,
  putImageRequestSchema,
  putImageSettingsSchema,
  type RepositoryList,
  type RepositoryRef,
  repositoryRefSchema,
  type SightingList,
  sightingListQuerySchema,
} from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { createHeadSightings } from "../adapters/d1/head-sightings.ts";
import { createRepositories } from "../adapters/d1/repositories.ts";
import { gitHubOf } from "../compose.ts";
import { type Target } from "../domain/image-scope-state.ts";
import { sightingOf, sightingView } from "../domain/sightings.ts";
import { readConfig } from "../env.ts";
import { findRepository, syncRepositories } from "../repository-sync.ts";
import { type App } from "./app-types.ts";
import { ApiError, gitHubUnavailable, repositoryNotFound } from "./errors.ts";
import { parse, readJson } from "./validation.ts";

const refOf = (c: Context<App>): RepositoryRef =>
  parse(repositoryRefSchema, { owner: c.req.param("owner"), name: c.req.param("name") }, "repository name");

export async function findTarget(c: Context<App>) {
  const ref = refOf(c);
  const found = await findRepository(c.env, ref, (work) => c.executionCtx.waitUntil(work));
  if (found) return found;
  throw repositoryNotFound(ref.owner, ref.name);
}

/** The repository that `?repository=owner/name` names, also by a name that it had before: what is kept under it can still be read. */
export async function repositoryOfQuery(c: Context<App>): Promise<RepositoryRef> {
  const [owner = "", name = ""] = (c.req.query("repository") ?? "").split("/");
  const ref = parse(repositoryRefSchema, { owner, name }, "query `repository`, which is owner/name,");
  const known = await createRepositories(c.env.DB).viewOf(imageScopeOf(ref));
  const found = known ?? (await findRepository(c.env, ref, (work) => c.executionCtx.waitUntil(work)))?.view;
  if (found) return found;
  throw repositoryNotFound(ref.owner, ref.name);
}

interface ReadTarget {
  target: Target;
  sha: string | null;
  commit: CommitInfo | null;
}

/** The repository with the branch that GitHub says is the default one now; D1's answer stands in when GitHub does not answer. */
async function readTarget(c: Context<App>, target: Target): Promise<ReadTarget> {
  const result = await gitHubOf(readConfig(c.env)).readHeads(target.installationId, [target]);
  const [head] = result.ok ? result.value : [];
  const branch = head ? (head.sha === null ? null : head.defaultBranch) : target.branch;
  if (result.ok && !head) throw repositoryNotFound(target.owner, target.name);
  if (branch !== null) return { target: { ...target, branch }, sha: head?.sha ?? null, commit: head?.commit ?? null };
  throw new ApiError(
    "repository_empty",
    `${target.owner}/${target.name} has no branch yet.`,
    "Push a first commit, then switch the image on.",
  );
}

/** For the ledger: a head that neither image nor tick knows was found by a person. */
async function noteSeen(c: Context<App>, { target, sha, commit }: ReadTarget, known: ImageState): Promise<void> {
  if (sha === null || sha === known.active?.sha || sha === known.lastCheck?.sha) return;
  const seen = { scope: imageScopeOf(target), sha, commit, at: Date.now(), pushedAt: null };
  await createHeadSightings(c.env.DB).save([sightingOf("person", seen)]);
}

export const repositories = new Hono<App>()
  .get("/", async (c) => {
    const known = createRepositories(c.env.DB);
    await syncRepositories(c.env, {
      force: c.req.query("sync") === "force",
      background: (work) => c.executionCtx.waitUntil(work),
    });
    return c.json({ repositories: await known.list() } satisfies RepositoryList);
  })
  .get("/:owner/:name/branches", async (c) => {
    const { target } = await findTarget(c);
    const result = await gitHubOf(readConfig(c.env)).listBranches(target, target.installationId, target.branch);
    if (!result.ok)
      throw result.error.kind === "not_found" ? repositoryNotFound(target.owner, target.name) : gitHubUnavailable(result.error);
    return c.json({ branches: result.value } satisfies BranchList);
  })
  .get("/:owner/:name/sightings", async (c) => {
    const { limit } = parse(sightingListQuerySchema, { limit: c.req.query("limit") }, "query");
    const { target } = await findTarget(c);
    const seen = await createHeadSightings(c.env.DB).list(imageScopeOf(target), limit);
    return c.json({ sightings: seen.map(sightingView) } satisfies SightingList);
  })
  .get("/:owner/:name/image", async (c) => c.json((await findTarget(c)).view.image))
  .put("/:owner/:name/image", async (c) => {
    const { enabled } = await readJson(c, putImageRequestSchema);
    const { target, view } = await findTarget(c);
    const object = c.env.IMAGES.getByName(imageScopeOf(target));
    const { lastCheck } = view.image;
    if (!enabled) return c.json(view.image.enabled ? { ...(await object.switchOff()), lastCheck } : view.image);
    const now = await readTarget(c, target);
    await noteSeen(c, now, view.image);
    return c.json({ ...(await object.switchOn(now.target, now.sha, c.var.person)), lastCheck });
  })
  .put("/:owner/:name/image/settings", async (c) => {
    const settings = await readJson(c, putImageSettingsSchema);
    const { target, view } = await findTarget(c);
    const state = await c.env.IMAGES.getByName(imageScopeOf(target)).changeSettings(target, settings);
    return c.json({ ...state, lastCheck: view.image.lastCheck } satisfies ImageState);
  })
  .delete("/:owner/:name/image/pin", async (c) => {
    const { target, view } = await findTarget(c);
    const state = await c.env.IMAGES.getByName(imageScopeOf(target)).unpin();
    return c.json({ ...state, lastCheck: view.image.lastCheck } satisfies ImageState);
  })
  .post("/:owner/:name/image/builds", async (c) => {
    const { target, view } = await findTarget(c);
    const disabled = new ApiError(
      "image_disabled",
      "Pre-built images are switched off for this repository.",
      "Switch them on first.",
    );
    if (!view.image.enabled) throw disabled;
    const now = await readTarget(c, target);
    await noteSeen(c, now, view.image);
    const build = await c.env.IMAGES.getByName(imageScopeOf(target)).trigger("refresh", now.target, now.sha, c.var.person);
    if (!build) throw disabled;
    return c.json({ build } satisfies BuildAccepted, 202);
  });
