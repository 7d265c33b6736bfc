/**
 * The emulated accounts and repositories: bare git repositories named by number, and what their refs are right now.
 * Does not know HTTP, tokens or webhooks.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { branchSchema, ownerSchema, repositoryNameSchema } from "@open-inspect/protocol";
import { type z } from "zod";
import { loginOfEmail } from "./commits.ts";
import { type Git } from "./git.ts";
import { createEmpty, fetchSource, importTree } from "./seeds.ts";
import { type Account, type RepositoryRecord, type StateFile } from "./state.ts";

export interface Repository extends RepositoryRecord {
  readonly owner: Account;
}
export interface Ref {
  sha: string;
  type: "commit" | "tag" | "tree" | "blob";
}
/** By full name (`refs/heads/main`), in git's order. */
export type Refs = ReadonlyMap<string, Ref>;
/** What a push did to one ref. null: it did not exist before, or does not any more. */
export interface RefChange {
  ref: string;
  before: string | null;
  after: string | null;
}

export interface AddRepository {
  owner: string;
  name: string;
  private?: boolean;
  archived?: boolean;
  defaultBranch?: string;
  /** a local git repository; every add of the same name fetches its new commits */
  fromPath?: string;
  /** a plain directory that becomes the first commit, with the same id every time */
  fromTree?: string;
  empty?: true;
}

export interface Repositories {
  /** Adds, or opens again what was added before under the same name. Throws with a sentence when it cannot. */
  add(request: AddRepository): Promise<Repository>;
  list(): Repository[];
  accounts(): Account[];
  find(owner: string, name: string): Repository | null;
  /** The repository that had this name before it got another one; null while some repository has it. */
  findMoved(owner: string, name: string): Repository | null;
  findAccount(login: string): Account | null;
  /** Whose address it is, by the form that GitHub gives to people who hide theirs. */
  accountOfEmail(email: string): Account | null;
  /** The account of this login, made when there is none. */
  account(login: string): Account;
  gitDir(repository: RepositoryRecord): string;
  refs(repository: RepositoryRecord): Promise<Refs>;
  /** Reads the refs anew after something was written and says what changed since they were last read. */
  refresh(repository: RepositoryRecord): Promise<RefChange[]>;
  /** Gives a repository another owner or name; the old one leads there until somebody else takes it. Throws when it is taken. */
  move(repository: RepositoryRecord, to: { owner: string; name: string }): void;
  /** Deletes a repository with its commits. */
  remove(repository: RepositoryRecord): Promise<void>;
}

export function createRepositories(ports: {
  dataDir: string;
  file: StateFile;
  git: Git;
  personLogin: string;
  now: () => number;
  log: (line: string) => void;
}): Repositories {
  const { git, file } = ports;
  const known = new Map<number, Promise<Refs>>();
  const adding = new Map<string, Promise<unknown>>();
  const gitDir = (repository: RepositoryRecord) => join(ports.dataDir, "repositories", `${repository.id}.git`);

  const readRefs = async (repository: RepositoryRecord): Promise<Refs> => {
    const format = "--format=%(objectname) %(objecttype) %(refname)";
    const text = await git.text([`--git-dir=${gitDir(repository)}`, "for-each-ref", format, "refs/heads", "refs/tags"]);
    const refs = new Map<string, Ref>();
    for (const line of text.split("\n")) {
      const [sha, type, ref] = line.split(" ");
      if (sha && ref && (type === "commit" || type === "tag" || type === "tree" || type === "blob")) refs.set(ref, { sha, type });
    }
    return refs;
  };
  const refs: Repositories["refs"] = (repository) => {
    let reading = known.get(repository.id);
    if (reading === undefined) {
      reading = readRefs(repository);
      known.set(repository.id, reading);
      reading.catch(() => known.delete(repository.id));
    }
    return reading;
  };
  // Every writer is this process, so the refs in memory are the ones last announced. Each refresh takes the place of the
  // one before it and waits for it: two pushes at once are told apart and none is announced twice.
  const refresh: Repositories["refresh"] = async (repository) => {
    const before = refs(repository);
    const reading = before.then(() => readRefs(repository));
    known.set(repository.id, reading);
    reading.catch(() => known.delete(repository.id));
    const [old, fresh] = await Promise.all([before, reading]);
    const changes: RefChange[] = [];
    for (const [ref, { sha }] of fresh) {
      if (old.get(ref)?.sha !== sha) changes.push({ ref, before: old.get(ref)?.sha ?? null, after: sha });
    }
    for (const [ref, { sha }] of old) if (!fresh.has(ref)) changes.push({ ref, before: sha, after: null });
    if (changes.length > 0) await settleDefaultBranch(repository.id, fresh);
    return changes;
  };
  const record = (id: number) => file.state.repositories.find((entry) => entry.id === id);
  const settleDefaultBranch = async (id: number, fresh: Refs) => {
    const repository = record(id);
    if (repository === undefined) return;
    repository.pushedAt = ports.now();
    // As on GitHub, the first branch pushed to an empty repository becomes its default branch.
    if (!fresh.has(`refs/heads/${repository.defaultBranch}`)) {
      const first = [...fresh.keys()].find((ref) => ref.startsWith("refs/heads/"))?.slice("refs/heads/".length);
      if (first !== undefined) await setDefaultBranch(repository, first);
    }
    await file.save();
  };
  const setDefaultBranch = async (repository: RepositoryRecord, branch: string) => {
    repository.defaultBranch = branch;
    await git.text([`--git-dir=${gitDir(repository)}`, "symbolic-ref", "HEAD", `refs/heads/${branch}`]);
  };

  const withOwner = (entry: RepositoryRecord): Repository => {
    const owner = file.state.accounts.find((account) => account.id === entry.ownerId);
    if (owner === undefined) throw new Error(`Repository ${entry.id} has no owner in state.json.`);
    return { ...entry, owner };
  };
  const findAccount = (login: string) =>
    file.state.accounts.find((account) => account.login.toLowerCase() === login.toLowerCase()) ?? null;
  const find: Repositories["find"] = (owner, name) => {
    const account = findAccount(owner);
    const match = (entry: RepositoryRecord) => entry.ownerId === account?.id && entry.name.toLowerCase() === name.toLowerCase();
    const entry = account ? file.state.repositories.find(match) : undefined;
    return entry ? withOwner(entry) : null;
  };
  const isNamed = (owner: string, name: string) => (entry: { owner: string; name: string }) =>
    entry.owner.toLowerCase() === owner.toLowerCase() && entry.name.toLowerCase() === name.toLowerCase();
  const findMoved: Repositories["findMoved"] = (owner, name) => {
    const redirect = find(owner, name) === null ? file.state.redirects.find(isNamed(owner, name)) : undefined;
    const entry = redirect ? record(redirect.repositoryId) : undefined;
    return entry ? withOwner(entry) : null;
  };
  const dropRedirect = (owner: string, name: string) => {
    const isIt = isNamed(owner, name);
    file.state.redirects = file.state.redirects.filter((entry) => !isIt(entry));
  };
  const addAccount = (login: string): Account => {
    const type = login.toLowerCase() === ports.personLogin.toLowerCase() ? "User" : "Organization";
    const ids = { id: file.nextId(), installationId: file.nextId() };
    const account: Account = { ...ids, installed: true, suspendedAt: null, login, type, createdAt: ports.now() };
    file.state.accounts.push(account);
    return account;
  };

  const account: Repositories["account"] = (login) => findAccount(login) ?? addAccount(login);

  const addNow = async (request: AddRepository): Promise<Repository> => {
    const existing = find(request.owner, request.name);
    if (existing !== null) {
      const entry = record(existing.id);
      if (entry && request.fromPath !== undefined) {
        entry.sourcePath = request.fromPath;
        await fetchSource({ git, gitDir: gitDir(entry), path: request.fromPath, log: ports.log });
        await refresh(entry);
        await file.save();
      }
      return withOwner(entry ?? existing);
    }
    const now = ports.now();
    const entry: RepositoryRecord = {
      id: file.nextId(),
      ownerId: 0,
      name: request.name,
      private: request.private ?? false,
      archived: request.archived ?? false,
      defaultBranch: request.defaultBranch ?? "main",
      createdAt: now,
      pushedAt: now,
      sourcePath: request.fromPath ?? null,
      granted: true,
    };
    const target = gitDir(entry);
    try {
      await createEmpty({ gitDir: target, branch: entry.defaultBranch });
      if (request.fromPath !== undefined) {
        const head = await fetchSource({ git, gitDir: target, path: request.fromPath, log: ports.log });
        if (head !== null && request.defaultBranch === undefined) await setDefaultBranch(entry, head);
      } else if (request.fromTree !== undefined) {
        await importTree({ git, gitDir: target, directory: request.fromTree, branch: entry.defaultBranch });
      }
    } catch (error) {
      await rm(target, { recursive: true, force: true });
      throw error;
    }
    // Only a repository that is complete becomes known: an import that failed leaves no half of one.
    entry.ownerId = account(request.owner).id;
    dropRedirect(request.owner, request.name);
    file.state.repositories.push(entry);
    if (request.fromPath === undefined && request.fromTree === undefined) known.set(entry.id, Promise.resolve(new Map()));
    await settleDefaultBranch(entry.id, await refs(entry));
    return withOwner(entry);
  };

  return {
    async add(request) {
      requireName(request);
      if (request.defaultBranch !== undefined) requireValid(branchSchema, request.defaultBranch);
      const key = `${request.owner}/${request.name}`.toLowerCase();
      const turn = (adding.get(key) ?? Promise.resolve()).catch(() => {}).then(() => addNow(request));
      adding.set(key, turn);
      try {
        return await turn;
      } finally {
        if (adding.get(key) === turn) adding.delete(key);
      }
    },
    list: () => file.state.repositories.map(withOwner),
    accounts: () => file.state.accounts,
    find,
    findMoved,
    findAccount,
    accountOfEmail(email) {
      const found = findAccount(loginOfEmail(email) ?? "");
      return found?.type === "User" ? found : null;
    },
    account,
    gitDir,
    refs,
    refresh,
    move({ id }, to) {
      requireName(to);
      const entry = record(id);
      if (entry === undefined) throw new Error("There is no such repository.");
      const { owner, name } = withOwner(entry);
      if ((find(to.owner, to.name)?.id ?? id) !== id) throw new Error(`There is a repository ${to.owner}/${to.name} already.`);
      entry.ownerId = account(to.owner).id;
      entry.name = to.name;
      dropRedirect(owner.login, name);
      dropRedirect(to.owner, to.name);
      if (!isNamed(to.owner, to.name)({ owner: owner.login, name })) {
        file.state.redirects.push({ owner: owner.login, name, repositoryId: id });
      }
    },
    async remove({ id }) {
      file.state.repositories = file.state.repositories.filter((entry) => entry.id !== id);
      file.state.redirects = file.state.redirects.filter((entry) => entry.repositoryId !== id);
      file.state.pulls = file.state.pulls.filter((entry) => entry.repositoryId !== id);
      known.delete(id);
      await rm(join(ports.dataDir, "repositories", `${id}.git`), { recursive: true, force: true });
    },
  };
}

function requireName({ owner, name }: { owner: string; name: string }): void {
  requireValid(ownerSchema, owner);
  requireValid(repositoryNameSchema, name);
  if (/\.git$/i.test(name)) throw new Error(`"${name}": a repository's name cannot end in .git.`);
}

function requireValid(schema: z.ZodType<string>, value: string): void {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Error(`${JSON.stringify(value)} ${parsed.error.issues[0]?.message ?? "is not valid"}.`);
}
