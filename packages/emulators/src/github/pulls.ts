/**
 * Pull requests between branches of one repository: opened, changed, merged, and followed as their branches move. Changes the state and
 * says what happened. Does not know HTTP or webhooks.
 */
import { countCommits, mergeBase } from "./commits.ts";
import { type Git } from "./git.ts";
import { type RefChange, type Repositories, type Repository } from "./repositories.ts";
import { type PullRecord, type StateFile } from "./state.ts";

export type PullAction =
  | { action: "opened" | "closed" | "reopened" | "converted_to_draft" | "ready_for_review" }
  | { action: "synchronize"; before: string; after: string }
  | { action: "edited"; changes: { title?: { from: string }; body?: { from: string } } };

/** Who does something to a pull request: the app itself, somebody logged in to it (an account's id), or the person who owns everything. */
export type Actor = Pick<PullRecord, "byApp" | "accountId">;
export const owningPerson: Actor = { byApp: false, accountId: null };

export interface NewPull extends Actor {
  title: string;
  body: string | null;
  head: string;
  base: string;
  draft: boolean;
}

/** Why a pull request cannot be, as GitHub's 422 names it. */
export type PullRefusal = { field: "head" | "base"; code: "invalid" } | { code: "custom"; message: string };
type Outcome = { pull: PullRecord } | { refused: PullRefusal };

const custom = (message: string): Outcome => ({ refused: { code: "custom", message } });

export interface Pulls {
  /** Newest first. */
  list(repository: Repository): PullRecord[];
  find(repository: Repository, number: number): PullRecord | null;
  open(repository: Repository, asked: NewPull): Promise<Outcome>;
  change(
    repository: Repository,
    pull: PullRecord,
    change: { title?: string; body?: string | null; state?: "open" | "closed" },
    by: Actor,
  ): Promise<Outcome>;
  setDraft(repository: Repository, pull: PullRecord, draft: boolean): Promise<void>;
  /** Puts a merge commit on the base. Throws with a sentence when it cannot be. */
  merge(repository: Repository, pull: PullRecord, author: { name: string; email: string }): Promise<void>;
  /** What a push did to the pull requests of its branches. */
  pushed(repository: Repository, changes: RefChange[], by: Actor): Promise<void>;
  mergeable(repository: Repository, pull: PullRecord): Promise<boolean>;
}

export function createPulls(ports: {
  file: StateFile;
  git: Git;
  repositories: Repositories;
  now: () => number;
  /** Told of each change; the record is a copy of how it was right then. */
  changed: (repository: Repository, pull: PullRecord, action: PullAction, by: Actor) => void;
}): Pulls {
  const { file, git, repositories } = ports;
  const at = (repository: Repository) => `--git-dir=${repositories.gitDir(repository)}`;
  const tip = async (repository: Repository, branch: string) =>
    (await repositories.refs(repository)).get(`refs/heads/${branch}`)?.sha ?? null;
  const list: Pulls["list"] = ({ id }) =>
    file.state.pulls.filter((pull) => pull.repositoryId === id).sort((a, b) => b.number - a.number);

  const touch = async (repository: Repository, pull: PullRecord, action: PullAction, by = owningPerson) => {
    pull.updatedAt = ports.now();
    ports.changed(repository, { ...pull }, action, by);
    await file.save();
  };
  const close = (repository: Repository, pull: PullRecord, mergeSha: string | null, by = owningPerson) => {
    const now = ports.now();
    Object.assign(pull, { state: "closed", closedAt: now, ...(mergeSha === null ? {} : { mergedAt: now, mergeSha }) });
    return touch(repository, pull, { action: "closed" }, by);
  };
  const alreadyExists = (repository: Repository, head: string, base: string, but?: PullRecord) =>
    list(repository).some((pull) => pull !== but && pull.state === "open" && pull.head === head && pull.base === base);
  const existsMessage = (repository: Repository, head: string) =>
    `A pull request already exists for ${repository.owner.login}:${head}.`;
  const mergedTree = async (repository: Repository, pull: PullRecord): Promise<string | null> => {
    const base = await tip(repository, pull.base);
    if (base === null) return null;
    const result = await git.run([at(repository), "merge-tree", "--write-tree", base, pull.headSha]);
    return result.code === 0 ? result.stdout.toString("utf8").trim() : null;
  };

  return {
    list,
    find: (repository, number) => list(repository).find((pull) => pull.number === number) ?? null,
    async open(repository, asked) {
      const [headSha, baseSha] = [await tip(repository, asked.head), await tip(repository, asked.base)];
      if (baseSha === null) return { refused: { field: "base", code: "invalid" } };
      if (headSha === null) return { refused: { field: "head", code: "invalid" } };
      if (alreadyExists(repository, asked.head, asked.base)) return custom(existsMessage(repository, asked.head));
      const gitDir = repositories.gitDir(repository);
      if ((await mergeBase(git, gitDir, baseSha, headSha)) === null) {
        return custom(`The ${asked.head} branch has no history in common with ${asked.base}`);
      }
      if ((await countCommits(git, gitDir, [`${baseSha}..${headSha}`])) === 0) {
        return custom(`No commits between ${asked.base} and ${asked.head}`);
      }
      // Two requests at once: whoever comes second finds the first one's here, for nothing is awaited from now on.
      if (alreadyExists(repository, asked.head, asked.base)) return custom(existsMessage(repository, asked.head));
      const now = ports.now();
      const pull: PullRecord = {
        ...asked,
        id: file.nextId(),
        repositoryId: repository.id,
        number: (list(repository)[0]?.number ?? 0) + 1,
        state: "open",
        headSha,
        baseSha,
        createdAt: now,
        updatedAt: now,
        closedAt: null,
        mergedAt: null,
        mergeSha: null,
      };
      file.state.pulls.push(pull);
      await touch(repository, pull, { action: "opened" }, asked);
      return { pull };
    },
    async change(repository, pull, { title, body, state }, by) {
      const edits: { title?: { from: string }; body?: { from: string } } = {};
      if (title !== undefined && title !== pull.title) edits.title = { from: pull.title };
      if (body !== undefined && body !== pull.body) edits.body = { from: pull.body ?? "" };
      if (state === "open" && pull.state === "closed") {
        const headSha = await tip(repository, pull.head);
        if (pull.mergedAt !== null || headSha === null)
          return custom("state cannot be changed. The pull request cannot be reopened.");
        if (alreadyExists(repository, pull.head, pull.base, pull)) return custom(existsMessage(repository, pull.head));
        Object.assign(pull, { state, closedAt: null, headSha });
        await touch(repository, pull, { action: "reopened" }, by);
      }
      if (Object.keys(edits).length > 0) {
        Object.assign(pull, { title: title ?? pull.title, body: body === undefined ? pull.body : body });
        await touch(repository, pull, { action: "edited", changes: edits }, by);
      }
      if (state === "closed" && pull.state === "open") await close(repository, pull, null, by);
      return { pull };
    },
    async setDraft(repository, pull, draft) {
      if (pull.state !== "open" || pull.draft === draft) return;
      pull.draft = draft;
      await touch(repository, pull, { action: draft ? "converted_to_draft" : "ready_for_review" });
    },
    async merge(repository, pull, author) {
      if (pull.state !== "open" || pull.draft) throw new Error("Pull Request is not mergeable");
      const [tree, base] = [await mergedTree(repository, pull), await tip(repository, pull.base)];
      if (tree === null || base === null) throw new Error("Pull Request is not mergeable: there are conflicts, or no base");
      const message = `Merge pull request #${pull.number} from ${repository.owner.login}/${pull.head}\n\n${pull.title}`;
      const time = `${Math.floor(ports.now() / 1000)} +0000`;
      const { name, email } = author;
      const env = {
        ...{ GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_AUTHOR_DATE: time },
        ...{ GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email, GIT_COMMITTER_DATE: time },
      };
      const parents = ["-p", base, "-p", pull.headSha];
      const sha = await git.text([at(repository), "commit-tree", tree, ...parents], { env, input: message });
      // Refused when somebody has moved the base meanwhile.
      await git.text([at(repository), "update-ref", `refs/heads/${pull.base}`, sha, base]);
      await close(repository, pull, sha);
    },
    async pushed(repository, changes, by) {
      for (const { ref, before, after } of changes) {
        const branch = ref.replace(/^refs\/heads\//, "");
        if (branch === ref) continue;
        for (const pull of list(repository).filter((one) => one.state === "open")) {
          if (pull.head === branch && after === null) await close(repository, pull, null, by);
          else if (pull.head === branch && after !== null && after !== pull.headSha) {
            const action: PullAction = { action: "synchronize", before: before ?? pull.headSha, after };
            pull.headSha = after;
            pull.baseSha = (await tip(repository, pull.base)) ?? pull.baseSha;
            await touch(repository, pull, action, by);
          } else if (pull.base === branch && after !== null) {
            // Whoever pushes a merge has merged it.
            const contained = await git.run([at(repository), "merge-base", "--is-ancestor", pull.headSha, after]);
            if (contained.code === 0) await close(repository, pull, after, by);
          }
        }
      }
    },
    mergeable: async (repository, pull) => (await mergedTree(repository, pull)) !== null,
  };
}
