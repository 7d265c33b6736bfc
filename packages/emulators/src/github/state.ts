/**
 * What the GitHub emulator remembers between starts: accounts, people, repositories and hashes of tokens, one JSON file.
 * Knows nothing of git or HTTP. Commits live in the bare repositories beside it.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const permissionLevels = ["read", "write"] as const;
export const permissionsSchema = z.record(z.string(), z.enum(permissionLevels));
export type Permissions = z.infer<typeof permissionsSchema>;

const accountSchema = z.object({
  id: z.number().int(),
  /** the app is installed on every account that owns a repository, until it is taken off */
  installationId: z.number().int(),
  installed: z.boolean().default(true),
  suspendedAt: z.number().nullable().default(null),
  login: z.string(),
  type: z.enum(["User", "Organization"]),
  createdAt: z.number(),
});
export type Account = z.infer<typeof accountSchema>;

const repositorySchema = z.object({
  id: z.number().int(),
  ownerId: z.number().int(),
  name: z.string(),
  private: z.boolean(),
  archived: z.boolean(),
  defaultBranch: z.string(),
  createdAt: z.number(),
  pushedAt: z.number(),
  /** a local git repository whose new commits are fetched at every start */
  sourcePath: z.string().nullable(),
  /** whether the owner lets the app's installation see it */
  granted: z.boolean().default(true),
});
export type RepositoryRecord = z.infer<typeof repositorySchema>;

const grantedSchema = z.object({
  /** login of whoever owns the repositories */
  owner: z.string(),
  /** one of them by its id; null: all of them, also those to come */
  repositoryId: z.number().int().nullable(),
  /** false: reads only */
  push: z.boolean(),
});
export type Granted = z.infer<typeof grantedSchema>;

/** Somebody who can log in. Their login, id and type are the account's. */
const personSchema = z.object({
  accountId: z.number().int(),
  name: z.string().nullable(),
  /** as their profile shows it; null: they hide it */
  email: z.string().nullable(),
  access: z.array(grantedSchema),
});
export type PersonRecord = z.infer<typeof personSchema>;

const userTokenSchema = z.object({
  id: z.number().int(),
  accountId: z.number().int(),
  /** shared by all that came from one authorization */
  family: z.number().int(),
  /** sha256 of the access token and of the refresh token, hex */
  hash: z.string(),
  refreshHash: z.string(),
  lastEight: z.string(),
  createdAt: z.number(),
  expiresAt: z.number(),
  refreshExpiresAt: z.number(),
});
export type UserTokenRecord = z.infer<typeof userTokenSchema>;

const tokenSchema = z.object({
  /** sha256 of the token, hex: the token itself is never written down */
  hash: z.string(),
  installationId: z.number().int(),
  /** null: every repository of the installation */
  repositoryIds: z.array(z.number().int()).nullable(),
  permissions: permissionsSchema,
  expiresAt: z.number(),
});
export type TokenRecord = z.infer<typeof tokenSchema>;

const pullSchema = z.object({
  id: z.number().int(),
  repositoryId: z.number().int(),
  number: z.number().int(),
  title: z.string(),
  body: z.string().nullable(),
  state: z.enum(["open", "closed"]),
  draft: z.boolean(),
  /** branches of the same repository: there are no forks */
  head: z.string(),
  base: z.string(),
  headSha: z.string(),
  baseSha: z.string(),
  /** the app opened it itself, for nobody */
  byApp: z.boolean(),
  /** the account that opened it by logging in to the app; null: the app, or the person who owns everything */
  accountId: z.number().int().nullable().default(null),
  createdAt: z.number(),
  updatedAt: z.number(),
  closedAt: z.number().nullable(),
  mergedAt: z.number().nullable(),
  mergeSha: z.string().nullable(),
});
export type PullRecord = z.infer<typeof pullSchema>;

/** A name that a repository had, until another one takes it. */
const redirectSchema = z.object({ owner: z.string(), name: z.string(), repositoryId: z.number().int() });

const stateSchema = z.object({
  version: z.literal(1),
  nextId: z.number().int(),
  accounts: z.array(accountSchema),
  repositories: z.array(repositorySchema),
  tokens: z.array(tokenSchema),
  redirects: z.array(redirectSchema).default([]),
  pulls: z.array(pullSchema).default([]),
  people: z.array(personSchema).default([]),
  userTokens: z.array(userTokenSchema).default([]),
});
type GithubState = z.infer<typeof stateSchema>;

export interface StateFile {
  /** Live: change it, then `save()`. */
  readonly state: GithubState;
  nextId(): number;
  /** Resolves when everything changed before the call is on disk. */
  save(): Promise<void>;
}

/** Opens `<dataDir>/state.json`, or begins it. Throws when the file is no state of this version. */
export async function openState(dataDir: string): Promise<StateFile> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, "state.json");
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  const lists = { accounts: [], repositories: [], tokens: [], redirects: [], pulls: [], people: [], userTokens: [] };
  const empty: GithubState = { version: 1, nextId: 1001, ...lists };
  const parsed = stateSchema.safeParse(text === null ? empty : JSON.parse(text));
  if (!parsed.success) throw new Error(`${path} is not readable by this version: start with an empty data folder.`);
  const state = parsed.data;

  let writing = Promise.resolve();
  let queued: Promise<void> | null = null;
  const write = async () => {
    queued = null;
    await writeFile(`${path}.new`, JSON.stringify(state, null, 1), { mode: 0o600 });
    await rename(`${path}.new`, path);
  };
  return {
    state,
    nextId: () => state.nextId++,
    save() {
      // One write may wait behind the running one and carries every change made until it begins.
      if (queued === null) {
        queued = writing.then(write);
        writing = queued.catch(() => {});
      }
      return queued;
    },
  };
}
