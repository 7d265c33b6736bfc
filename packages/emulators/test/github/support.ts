/** An emulator in temporary folders, the real octokit with every answer validated, and the real git, for each test. */
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { App, Octokit } from "octokit";
import { onTestFinished } from "vitest";
import { type GithubEmulator, type GithubEmulatorOptions, startGithubEmulator } from "../../src/github/github.ts";
import { createValidatingFetch } from "./openapi.ts";

const keys = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
export const { publicKey, privateKey } = keys;
export const app = { id: 4711, slug: "open-inspect", publicKeyPem: keys.publicKey, webhookSecret: "it is a secret" };
export const person = { login: "ada", token: "ghp_adasownpersonaltoken0000000000000000" };

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "github-test-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface World {
  github: GithubEmulator;
  octokitApp: App;
  /** octokit with an installation token for these repositories of the owner, or for all of them */
  asInstallation(
    owner: string,
    repositories?: string[],
    permissions?: Record<string, string>,
  ): Promise<{ octokit: Octokit; token: string }>;
  withToken(token: string | null): Octokit;
  admin(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  seen: Set<string>;
  logs: string[];
}

export async function startWorld(overrides: Partial<GithubEmulatorOptions> = {}): Promise<World> {
  const logs: string[] = [];
  const dataDir = overrides.dataDir ?? (await temporaryFolder());
  const github = await startGithubEmulator({
    dataDir,
    app,
    person,
    webhookRetryMs: 40,
    log: (line) => logs.push(line),
    ...overrides,
  });
  onTestFinished(() => github.stop());
  const { fetch: validating, seen } = createValidatingFetch(github.url);
  const Client = Octokit.defaults({
    baseUrl: github.url,
    request: { fetch: validating },
    retry: { enabled: false },
    throttle: { enabled: false },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const octokitApp = new App({ appId: app.id, privateKey, Octokit: Client });
  const withToken = (token: string | null) => new Client(token === null ? {} : { auth: token });
  return {
    github,
    octokitApp,
    withToken,
    async asInstallation(owner, repositories, permissions) {
      const { data: installation } = await octokitApp.octokit.request("GET /users/{username}/installation", { username: owner });
      const { data } = await octokitApp.octokit.request("POST /app/installations/{installation_id}/access_tokens", {
        installation_id: installation.id,
        ...(repositories ? { repositories } : {}),
        ...(permissions ? { permissions } : {}),
      });
      return { octokit: withToken(data.token), token: data.token };
    },
    admin: (method, path, body, headers = {}) =>
      fetch(`${github.url}/__emulator${path}`, {
        method,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    seen,
    logs,
  };
}

/** Status of a request that is expected to fail. */
export async function failureOf(promise: Promise<unknown>): Promise<{ status: number; message: string }> {
  const error: unknown = await promise.then(
    () => new Error("it did not fail"),
    (reason: unknown) => reason,
  );
  if (error instanceof Error && "status" in error) return { status: Number(error.status), message: error.message };
  throw error;
}

const run = promisify(execFile);
/** The environment of a git that knows nothing of this machine's configuration. */
export const gitEnv = {
  PATH: process.env.PATH ?? "",
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_TERMINAL_PROMPT: "0",
  GIT_AUTHOR_NAME: "Ada",
  GIT_AUTHOR_EMAIL: "ada@example.com",
  GIT_COMMITTER_NAME: "Ada",
  GIT_COMMITTER_EMAIL: "ada@example.com",
};
/** The real git as a person would run it. Returns standard output. */
export async function git(cwd: string, ...args: string[]): Promise<string> {
  const options = { cwd, env: gitEnv, timeout: 20_000, maxBuffer: 1 << 26 };
  const { stdout } = await run("git", ["-c", "init.defaultBranch=main", ...args], options);
  return stdout.trim();
}
/** Adds empty commits to a branch in one go. */
export async function addCommits(cwd: string, branch: string, count: number): Promise<void> {
  const parent = await git(cwd, "rev-parse", branch);
  const commits = Array.from({ length: count }, (_, index) => {
    const from = index === 0 ? `from ${parent}\n` : "";
    return `commit refs/heads/${branch}\ncommitter Ada <ada@example.com> ${1_800_000_000 + index} +0000\ndata 0\n${from}\n`;
  });
  const importing = run("git", ["fast-import", "--quiet"], { cwd, env: gitEnv, timeout: 20_000 });
  importing.child.stdin?.end(commits.join(""));
  await importing;
}

/** The clone URL with a token as its password. */
export function authenticated(url: string, token: string): string {
  const result = new URL(url);
  result.username = "x-access-token";
  result.password = token;
  return result.href;
}

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}
/** A webhook receiver. `answer` decides on the status of each attempt, counted from 1. */
export async function startReceiver(answer: (attempt: number) => number = () => 202) {
  const received: Received[] = [];
  const waiting: { count: number; resolve: (all: Received[]) => void }[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      received.push({ headers: req.headers, body: Buffer.concat(chunks).toString("utf8") });
      res.writeHead(answer(received.length)).end();
      for (const wait of waiting) if (received.length >= wait.count) wait.resolve(received);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    /** Resolves once so many deliveries were received; the test's own time limit bounds the wait. */
    waitFor: (count: number) =>
      new Promise<Received[]>((resolve) => {
        if (received.length >= count) resolve(received);
        else waiting.push({ count, resolve });
      }),
  };
}
