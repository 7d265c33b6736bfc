/** REST routes of a repository: itself, its branches and refs, commits and comparisons. Reads only. */
import { type Hono } from "hono";
import { type Commit, countApart, countCommits, diffFiles, mergeBase, readCommits, resolveCommit } from "../commits.ts";
import { type Refs, type Repository } from "../repositories.ts";
import {
  type ApiContext,
  type ApiEnv,
  type ApiPorts,
  apiError,
  emptyRepository,
  linkPages,
  notFound,
  pageOf,
  requireRepository,
} from "./answers.ts";
import { commitShape, fileShape } from "./commit-shapes.ts";
import { fullName, repositoryShape } from "./shapes.ts";

const filesMax = 300;
const compareCommitsMax = 250;
const branchPrefix = "refs/heads/";

export function addRepositoryRoutes(api: Hono<ApiEnv>, ports: ApiPorts): void {
  const { git, repositories } = ports;
  const apiUrl = (repository: Repository) => `${ports.url()}/repos/${fullName(repository)}`;
  /** The repository with its refs, when its contents may be read. */
  const open = async (c: ApiContext) => {
    const repository = requireRepository(ports, c, "contents");
    const options = { signal: c.req.raw.signal };
    return { repository, gitDir: repositories.gitDir(repository), refs: await repositories.refs(repository), options };
  };
  const shapeOf = (repository: Repository, commit: Commit) =>
    commitShape(ports.url(), repository, commit, repositories.accountOfEmail);
  const branchNames = (refs: Refs) => [...refs.keys()].filter((ref) => ref.startsWith(branchPrefix));

  api.get("/repos/:owner/:repo", (c) => {
    const repository = requireRepository(ports, c, "metadata");
    const canPush = ports.access.mayPush(c.get("identity"), repository) === "yes";
    return c.json({ ...repositoryShape(ports.url(), repository, canPush), subscribers_count: 0, network_count: 0 });
  });

  api.get("/repos/:owner/:repo/branches", async (c) => {
    const { repository, refs } = await open(c);
    const all = branchNames(refs);
    const { skip, perPage } = pageOf(c);
    linkPages(ports, c, all.length);
    return c.json(
      all.slice(skip, skip + perPage).map((ref) => {
        const sha = refs.get(ref)?.sha ?? "";
        const commit = { sha, url: `${apiUrl(repository)}/commits/${sha}` };
        return { name: ref.slice(branchPrefix.length), commit, protected: false };
      }),
    );
  });
  api.get("/repos/:owner/:repo/branches/:branch{.+}", async (c) => {
    const { repository, gitDir, refs, options } = await open(c);
    const name = c.req.param("branch");
    const ref = refs.get(`${branchPrefix}${name}`);
    if (ref === undefined) throw notFound("Branch not found");
    const [commit] = await readCommits(git, gitDir, ["-1", ref.sha], options);
    if (commit === undefined) throw notFound("Branch not found");
    const path = name.split("/").map(encodeURIComponent).join("/");
    const self = `${apiUrl(repository)}/branches/${path}`;
    return c.json({
      name,
      commit: shapeOf(repository, commit),
      _links: { self, html: `${ports.url()}/${fullName(repository)}/tree/${path}` },
      protected: false,
      protection: { enabled: false, required_status_checks: { enforcement_level: "off", contexts: [], checks: [] } },
      protection_url: `${self}/protection`,
    });
  });
  api.get("/repos/:owner/:repo/git/ref/:ref{.+}", async (c) => {
    const { repository, refs } = await open(c);
    if (refs.size === 0) throw emptyRepository();
    const name = `refs/${c.req.param("ref")}`;
    const ref = refs.get(name);
    if (ref === undefined) throw notFound();
    return c.json({
      ref: name,
      node_id: `REF_${Buffer.from(`${repository.id}:${name}`).toString("base64url")}`,
      url: `${apiUrl(repository)}/git/${name}`,
      object: { sha: ref.sha, type: ref.type, url: `${apiUrl(repository)}/git/${ref.type}s/${ref.sha}` },
    });
  });

  api.get("/repos/:owner/:repo/commits", async (c) => {
    const { repository, gitDir, refs, options } = await open(c);
    if (branchNames(refs).length === 0) throw emptyRepository();
    const asked = c.req.query("sha") || repository.defaultBranch;
    const sha = await resolveCommit(git, gitDir, refs, asked, options);
    if (sha === null) throw notFound();
    const limits: string[] = [];
    for (const bound of ["since", "until"] as const) {
      const at = Date.parse(c.req.query(bound) ?? "");
      if (!Number.isNaN(at)) limits.push(`--${bound}=${new Date(at).toISOString()}`);
    }
    const path = c.req.query("path");
    const range = [...limits, sha, "--", ...(path ? [`:(literal)${path}`] : [])];
    const { skip, perPage } = pageOf(c);
    linkPages(ports, c, await countCommits(git, gitDir, range, options));
    const commits = await readCommits(git, gitDir, [`--skip=${skip}`, `--max-count=${perPage}`, ...range], options);
    return c.json(commits.map((commit) => shapeOf(repository, commit)));
  });
  api.get("/repos/:owner/:repo/commits/:ref{.+}", async (c) => {
    const { repository, gitDir, refs, options } = await open(c);
    if (branchNames(refs).length === 0) throw emptyRepository();
    const sha = await resolveCommit(git, gitDir, refs, c.req.param("ref"), options);
    if (sha === null) throw apiError(422, `No commit found for SHA: ${c.req.param("ref")}`);
    const accepted = c.req.header("accept") ?? "";
    if (/application\/vnd\.github\.(v3\.)?sha/.test(accepted)) {
      // Who knows the commit can ask with it as the entity tag.
      return c.body(sha, 200, { "content-type": "application/vnd.github.sha; charset=utf-8", etag: `"${sha}"` });
    }
    const [commit] = await readCommits(git, gitDir, ["-1", sha], options);
    if (commit === undefined) throw notFound();
    const files = await diffFiles(git, gitDir, commit.parents[0] ?? null, sha, options);
    const additions = files.reduce((sum, file) => sum + file.additions, 0);
    const deletions = files.reduce((sum, file) => sum + file.deletions, 0);
    return c.json({
      ...shapeOf(repository, commit),
      stats: { total: additions + deletions, additions, deletions },
      files: files.slice(0, filesMax).map((file) => fileShape(ports.url(), repository, sha, file)),
    });
  });

  api.get("/repos/:owner/:repo/compare/:basehead{.+}", async (c) => {
    const { repository, gitDir, refs, options } = await open(c);
    if (branchNames(refs).length === 0) throw notFound();
    const [baseName, headName, ...more] = c.req.param("basehead").split("...");
    if (baseName === undefined || headName === undefined || more.length > 0) throw notFound();
    const resolve = async (name: string) => {
      const [before, after] = name.split(":");
      // `owner:branch` names a fork; here every repository is its own only fork.
      const own = after === undefined || before?.toLowerCase() === repository.owner.login.toLowerCase();
      const sha = own ? await resolveCommit(git, gitDir, refs, after ?? before ?? "", options) : null;
      if (sha === null) throw notFound();
      return sha;
    };
    const base = await resolve(baseName);
    const head = await resolve(headName);
    const common = await mergeBase(git, gitDir, base, head, options);
    if (common === null) throw notFound(`No common ancestor between ${baseName} and ${headName}.`);

    const { ahead, behind } = await countApart(git, gitDir, base, head, options);
    const paged = c.req.query("page") !== undefined || c.req.query("per_page") !== undefined;
    const { page, perPage, skip } = paged ? pageOf(c) : { page: 1, perPage: compareCommitsMax, skip: 0 };
    if (paged) linkPages(ports, c, ahead);
    // Oldest first, as GitHub lists them: git counts from the newest, so the window is mirrored.
    const window = Math.max(0, Math.min(perPage, ahead - skip));
    const from = paged ? Math.max(0, ahead - skip - window) : 0;
    const range = ["--topo-order", "--reverse", `--skip=${from}`, `--max-count=${window}`, `${base}..${head}`];
    const commits = window === 0 ? [] : await readCommits(git, gitDir, range, options);
    const ends = await readCommits(git, gitDir, ["--no-walk=unsorted", base, common], options);
    const baseCommit = ends[0];
    const commonCommit = ends[1] ?? baseCommit;
    if (baseCommit === undefined || commonCommit === undefined) throw notFound();
    const files = page === 1 ? await diffFiles(git, gitDir, common, head, options) : [];
    const html = `${ports.url()}/${fullName(repository)}`;
    const span = `${encodeURIComponent(baseName)}...${encodeURIComponent(headName)}`;
    const owner = repository.owner.login;
    return c.json({
      url: `${apiUrl(repository)}/compare/${span}`,
      html_url: `${html}/compare/${span}`,
      permalink_url: `${html}/compare/${owner}:${base.slice(0, 7)}...${owner}:${head.slice(0, 7)}`,
      diff_url: `${html}/compare/${span}.diff`,
      patch_url: `${html}/compare/${span}.patch`,
      base_commit: shapeOf(repository, baseCommit),
      merge_base_commit: shapeOf(repository, commonCommit),
      status: ahead > 0 ? (behind > 0 ? "diverged" : "ahead") : behind > 0 ? "behind" : "identical",
      ahead_by: ahead,
      behind_by: behind,
      total_commits: ahead,
      commits: commits.map((commit) => shapeOf(repository, commit)),
      files: files.slice(0, filesMax).map((file) => fileShape(ports.url(), repository, head, file)),
    });
  });
}
