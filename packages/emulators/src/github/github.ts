/**
 * The GitHub emulator: GitHub's REST and GraphQL APIs, its login, its git server and its webhooks on one loopback port, over bare
 * repositories in a folder. Knows nothing of who uses it; clients are GitHub's own (octokit, git).
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { createAccess, type Identity } from "./access.ts";
import { adminPrefix, createAdmin } from "./admin.ts";
import { createApi } from "./api.ts";
import { createAppTokens } from "./app-tokens.ts";
import { type ChangeEvent } from "./change-events.ts";
import { createChanges } from "./changes.ts";
import { type NewCommit, writeCommit } from "./commit-writer.ts";
import { createFaults, type RequestKind } from "./faults.ts";
import { createGit } from "./git.ts";
import { createGitHttp, type GitRequest, parseGitRequest } from "./git-http.ts";
import { createLogin, isLoginPath, type OauthOptions } from "./login.ts";
import { createPages, parsePageRequest } from "./pages.ts";
import { createPeople, seededPeople } from "./people.ts";
import { actorOf, pullEvent } from "./pull-event.ts";
import { createPulls } from "./pulls.ts";
import { pushEvent } from "./push-event.ts";
import { type AddRepository, createRepositories, type RefChange, type Repository } from "./repositories.ts";
import { type ApiPorts } from "./rest/answers.ts";
import { fullName } from "./rest/shapes.ts";
import { openState, type PullRecord } from "./state.ts";
import { createUserTokens } from "./user-tokens.ts";
import { createWebhooks } from "./webhooks.ts";

const longestRequestMs = 900_000;
const keepAliveMs = 75_000;
/** As on GitHub, a push that moves more branches than this is not announced. */
const announcedMax = 5000;

export interface GithubEmulatorOptions {
  /** 0 or left out: a free one */
  port?: number;
  /** guards the emulator's own routes; without it, local paths are not taken over HTTP */
  adminToken?: string;
  /** bare repositories and state; survives restarts */
  dataDir: string;
  /** the GitHub App. Either half of its key pair will do. */
  app: { id: number; slug: string; name?: string; publicKeyPem?: string; privateKeyPem?: string; webhookSecret: string };
  /** lets people log in to the App; left out: nobody can, and there are no people */
  oauth?: OauthOptions;
  webhookUrl?: string | null;
  /** may read and push everything; its token is the password for git */
  person: { login: string; token: string };
  /** wait before the first retry of a webhook, doubled for each further one */
  webhookRetryMs?: number;
  /** requests per hour, as GitHub counts them */
  rateLimit?: { authenticated: number; anonymous: number };
  log?: (line: string) => void;
  /** milliseconds since the epoch; moved by tests of expiry */
  now?: () => number;
}

export interface RepositoryInfo {
  id: number;
  owner: string;
  name: string;
  private: boolean;
  defaultBranch: string;
  /** head of the default branch, null for an empty repository */
  sha: string | null;
  cloneUrl: string;
  htmlUrl: string;
}

export interface GithubEmulator {
  /** base URL for octokit and prefix of clone URLs, without a trailing slash */
  url: string;
  /** Where pushes are announced from now on; null: nowhere. */
  setWebhookUrl(url: string | null): void;
  /** Adds a repository, or opens the one of that name again (and fetches new commits when it comes from a local one). */
  addRepository(request: AddRepository): Promise<RepositoryInfo>;
  /** Makes a commit as a push would, webhook included. Resolves with its id. */
  commit(owner: string, name: string, commit: Omit<NewCommit, "branch"> & { branch?: string }): Promise<{ sha: string }>;
  stop(): Promise<void>;
}

export async function startGithubEmulator(options: GithubEmulatorOptions): Promise<GithubEmulator> {
  const log = options.log ?? (() => {});
  const now = options.now ?? Date.now;
  const { app, person, oauth = null } = options;
  const keyPem = app.publicKeyPem ?? app.privateKeyPem;
  if (keyPem === undefined) throw new Error("The GitHub emulator needs the app's key: give publicKeyPem or privateKeyPem.");
  const file = await openState(options.dataDir);
  const tokens = createAppTokens({ file, appId: app.id, keyPem, now });
  const userTokens = createUserTokens({ file, now });
  const people = createPeople({ file, seeds: oauth === null ? [] : seededPeople, now });
  const access = createAccess({ tokens, userTokens, people, person, accounts: () => file.state.accounts });
  const git = await createGit(options.dataDir);
  const repositories = createRepositories({ dataDir: options.dataDir, file, git, personLogin: person.login, now, log });
  const webhooks = createWebhooks({
    appId: app.id,
    secret: app.webhookSecret,
    hookId: 500_000 + app.id,
    retryDelayMs: options.webhookRetryMs ?? 500,
    log,
  });
  webhooks.setUrl(options.webhookUrl ?? null);
  const faults = createFaults();

  let url = "";
  const ports: ApiPorts = {
    url: () => url,
    app: { id: app.id, slug: app.slug, name: app.name ?? app.slug, clientId: oauth?.clientId ?? clientIdOf(app.id) },
    personLogin: person.login,
    git,
    repositories,
    access,
    tokens,
    people,
    userTokens,
    now,
    log,
  };

  // One announcement after the other, so that events leave in the order of the pushes.
  let announcing = Promise.resolve();
  const isHeard = ({ owner, granted }: Repository) =>
    webhooks.hasUrl() && owner.installed && owner.suspendedAt === null && granted;
  /** Without keeping anyone waiting. */
  const announce = (what: string, work: () => Promise<void>) => {
    announcing = announcing.then(work).catch((error: Error) => log(`${what} was not announced: ${error.message}`));
  };
  const pulls = createPulls({
    ...{ file, git, repositories, now },
    changed(repository, pull, action, by) {
      if (!isHeard(repository)) return;
      announce("a pull request", async () => {
        const { event, payload } = await pullEvent({ ...ports, pulls }, repository, pull, action, by);
        webhooks.send(event, payload);
      });
    },
  });
  /** Finds out what a push changed, announces each branch and tag of it, and takes the pull requests of these branches along. */
  const received = async (repository: Repository, identity: Identity) => {
    const changes = await repositories.refresh(repository);
    await announcePush(repository, changes, identity);
    await pulls.pushed(repository, changes, actorOf(identity));
  };
  const announcePush = async (repository: Repository, changes: RefChange[], identity: Identity) => {
    if (changes.length === 0 || changes.length > announcedMax) return;
    const current = repositories.find(repository.owner.login, repository.name) ?? repository;
    const changed = new Set(changes.map((change) => change.ref));
    const refs = [...(await repositories.refs(repository))];
    const others = refs.filter(([ref, { type }]) => !changed.has(ref) && type === "commit").map(([, { sha }]) => sha);
    const befores = changes.map((change) => change.before).filter((sha) => sha !== null);
    if (!isHeard(current)) return;
    announce("a push", async () => {
      for (const change of changes) {
        webhooks.send("push", await pushEvent(ports, { repository: current, change, identity, others: [...others, ...befores] }));
      }
    });
  };
  const send = ({ event, payload }: ChangeEvent) => {
    announcing = announcing.then(() => webhooks.send(event, payload));
  };
  const changes = createChanges({ ...ports, file, send, announced: () => announcing });

  const committing = new Map<number, Promise<unknown>>();
  const commitTo = async (repository: Repository, commit: NewCommit) => {
    await repositories.refs(repository);
    const author = authorOf(person.login);
    const { defaultBranch } = repository;
    const write = () => writeCommit({ git, gitDir: repositories.gitDir(repository), defaultBranch, now, author }, commit);
    // Commits to one repository take turns: each begins where the one before it ended.
    const turn = (committing.get(repository.id) ?? Promise.resolve()).catch(() => {}).then(write);
    committing.set(repository.id, turn);
    const sha = await turn;
    await received(repository, { kind: "person", login: person.login });
    return sha;
  };
  const addRepository = async (request: AddRepository): Promise<RepositoryInfo> => {
    return view(await repositories.add(request));
  };
  const view = async (repository: Repository): Promise<RepositoryInfo> => {
    const refs = await repositories.refs(repository);
    const htmlUrl = `${url}/${fullName(repository)}`;
    return {
      id: repository.id,
      owner: repository.owner.login,
      name: repository.name,
      private: repository.private,
      defaultBranch: repository.defaultBranch,
      sha: refs.get(`refs/heads/${repository.defaultBranch}`)?.sha ?? null,
      cloneUrl: `${htmlUrl}.git`,
      htmlUrl,
    };
  };

  const rateLimit = options.rateLimit ?? { authenticated: 5000, anonymous: 60 };
  const mergePull = async (repository: Repository, pull: PullRecord) => {
    await pulls.merge(repository, pull, authorOf(person.login));
    await received(repository, { kind: "person", login: person.login });
  };
  const api = createApi({ ...ports, pulls, oauth, rateLimit, count: faults.count });
  const adminToken = options.adminToken ?? null;
  const admin = createAdmin({
    adminToken,
    faults,
    webhooks,
    repositories,
    addRepository,
    view,
    changes,
    people,
    userTokens,
    pulls,
    mergePull,
    writeCommit: commitTo,
  });
  const serveGit = createGitHttp({ git, repositories, access, url: () => url, onReceived: received, log });
  const servePage = createPages({ ...ports, pulls });
  const login = createLogin({ oauth, appName: ports.app.name, people, repositories, tokens: userTokens });
  // The listener would otherwise replace Request and Response for the whole process.
  const serveApi = getRequestListener(api.fetch, { overrideGlobalObjects: false });
  const serveLogin = getRequestListener(login.fetch, { overrideGlobalObjects: false });
  const serveAdmin = getRequestListener(admin.fetch, { overrideGlobalObjects: false });

  /** `/repositories/7/…`, where old names lead to, as a path by the name of today. */
  const byNumber = (path: string): string => {
    const [, id, rest = ""] = /^\/repositories\/(\d+)(?=[/?]|$)(.*)$/.exec(path) ?? [];
    const repository = id === undefined ? undefined : repositories.list().find((entry) => entry.id === Number(id));
    return repository === undefined ? path : `/repos/${fullName(repository)}${rest}`;
  };
  const dispatch = async (req: IncomingMessage, res: ServerResponse) => {
    // A page that has its own name point to loopback is turned away here.
    const host = (req.headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
    if (!["127.0.0.1", "localhost", "[::1]"].includes(host)) {
      res.writeHead(421, { "content-type": "text/plain" }).end("The GitHub emulator answers on loopback only.\n");
      return;
    }
    // Clients made for GitHub's own servers elsewhere (`gh`, PyGithub) put the API below these paths.
    req.url = (req.url ?? "/").replace(/^\/api\/v3(?=\/)/, "").replace(/^\/api\/graphql$/, "/graphql");
    req.url = byNumber(req.url);
    const target = new URL(req.url, url);
    if (target.pathname === adminPrefix || target.pathname.startsWith(`${adminPrefix}/`)) return serveAdmin(req, res);
    const gitRequest = parseGitRequest(req.method ?? "GET", target);
    if (!(await faults.pass(req, res, kindOf(target, gitRequest)))) return;
    if (isLoginPath(target.pathname)) return serveLogin(req, res);
    if (gitRequest) return serveGit(req, res, gitRequest);
    const page = parsePageRequest(req.method ?? "GET", target);
    if (page) return servePage(req, res, page);
    return serveApi(req, res);
  };
  const server = createServer((req, res) => {
    dispatch(req, res).catch((error: Error) => {
      log(`${req.method ?? ""} request failed: ${error.message}`);
      if (!res.headersSent) res.writeHead(500).end();
      else res.destroy();
    });
  });
  server.requestTimeout = longestRequestMs;
  // Longer than clients keep idle connections: none of them meets one that is just being closed.
  server.keepAliveTimeout = keepAliveMs;
  server.on("clientError", (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The GitHub emulator has no port.");
  url = `http://127.0.0.1:${address.port}`;

  return {
    url,
    setWebhookUrl: webhooks.setUrl,
    addRepository,
    async commit(owner, name, commit) {
      const repository = repositories.find(owner, name);
      if (repository === null) throw new Error(`There is no repository ${owner}/${name}.`);
      return { sha: await commitTo(repository, { ...commit, branch: commit.branch ?? repository.defaultBranch }) };
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      git.stop();
      await Promise.all([closed, announcing, webhooks.stop()]);
      await file.save();
    },
  };
}

const clientIdOf = (appId: number) => `Iv23li${String(appId).padStart(14, "0")}`;
const authorOf = (login: string) => ({ name: login, email: `${login}@users.noreply.github.invalid` });

function kindOf(url: URL, gitRequest: GitRequest | null): RequestKind {
  if (gitRequest) {
    const { service, phase, owner, name } = gitRequest;
    return { kind: service, phase, path: url.pathname, repository: `${owner}/${name}` };
  }
  if (isLoginPath(url.pathname)) return { kind: "login", path: url.pathname };
  return { kind: url.pathname === "/graphql" ? "graphql" : "rest", path: url.pathname };
}
