/** Smart HTTP git for tests: `git http-backend` over bare repositories in a folder, with optional basic authentication. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"];

/** Blocks this process: never use it against a server that runs in it. */
export function git(cwd: string, ...args: string[]): string {
  return execFileSync("git", [...identity, ...args], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 10_000,
  }).trim();
}

export interface TestRepository {
  url: string;
  /** a working copy to commit in */
  work: string;
  /** writes files, commits, pushes; a file may be made executable. @returns the new head */
  commit(files: Record<string, string | { text: string; mode: number }>, options?: { force?: boolean }): string;
}

export interface TestGitServer {
  /** what it wants as `user:password`; null lets everybody in */
  credential: string | null;
  /** answers every request with this status while set */
  failWith: number | null;
  /** answers nothing while set */
  hang: boolean;
  onRequest: () => void;
  requests: number;
  /** requests with an Authorization header */
  authorized: number;
  create(name: string): TestRepository;
  stop(): Promise<void>;
}

export async function startGitServer(): Promise<TestGitServer> {
  const root = mkdtempSync(join(tmpdir(), "runtime-git-"));
  const http = createServer((request, response) => {
    const header = request.headers.authorization;
    server.requests++;
    server.onRequest();
    if (server.hang) return undefined;
    if (header) server.authorized++;
    if (server.failWith !== null) return response.writeHead(server.failWith).end();
    const expected = server.credential === null ? null : `Basic ${Buffer.from(server.credential).toString("base64")}`;
    if (expected !== null && header !== expected)
      return response.writeHead(401, { "www-authenticate": 'Basic realm="test"' }).end();
    const url = new URL(request.url ?? "/", "http://x");
    if (!existsSync(join(root, url.pathname.split("/")[1] ?? "", "HEAD"))) return response.writeHead(404).end();
    const child = spawn("git", ["http-backend"], {
      env: {
        PATH: process.env.PATH,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: "1",
        GIT_CONFIG_COUNT: "2",
        GIT_CONFIG_KEY_0: "safe.directory",
        GIT_CONFIG_VALUE_0: "*",
        GIT_CONFIG_KEY_1: "uploadpack.allowFilter",
        GIT_CONFIG_VALUE_1: "true",
        PATH_INFO: decodeURIComponent(url.pathname),
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method ?? "GET",
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    request.pipe(child.stdin);
    child.stdin.on("error", () => undefined);
    let head = Buffer.alloc(0);
    let isBody = false;
    child.stdout.on("data", (chunk: Buffer) => {
      if (isBody) return response.write(chunk);
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      isBody = true;
      let status = 200;
      for (const line of head.subarray(0, end).toString().split("\r\n")) {
        const at = line.indexOf(":");
        const value = line.slice(at + 1).trim();
        if (line.slice(0, at).toLowerCase() === "status") status = Number.parseInt(value, 10);
        else response.setHeader(line.slice(0, at), value);
      }
      response.writeHead(status);
      return response.write(head.subarray(end + 4));
    });
    child.stdout.on("end", () => response.end());
    return undefined;
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const address = http.address();
  if (!address || typeof address === "string") throw new Error("no port");
  const { port } = address;
  const server: TestGitServer = {
    credential: null,
    failWith: null,
    hang: false,
    onRequest: () => undefined,
    requests: 0,
    authorized: 0,
    create(name) {
      const bare = join(root, `${name}.git`);
      const work = join(root, `${name}-work`);
      mkdirSync(bare, { recursive: true });
      git(bare, "init", "--bare", "--quiet");
      mkdirSync(work, { recursive: true });
      git(work, "init", "--quiet");
      return {
        url: `http://127.0.0.1:${port}/${name}.git`,
        work,
        commit(files, options = {}) {
          for (const [path, content] of Object.entries(files)) {
            const file = join(work, path);
            mkdirSync(dirname(file), { recursive: true });
            if (typeof content === "string") writeFileSync(file, content);
            else writeFileSync(file, content.text, { mode: content.mode });
          }
          git(work, "add", "-A");
          git(work, "commit", "--quiet", "--allow-empty", "-m", "Change");
          git(work, "push", "--quiet", ...(options.force ? ["--force"] : []), bare, "HEAD:refs/heads/main");
          return git(work, "rev-parse", "HEAD");
        },
      };
    },
    stop: () =>
      new Promise((resolve) => {
        http.close(() => {
          rmSync(root, { recursive: true, force: true });
          resolve();
        });
        http.closeAllConnections();
      }),
  };
  return server;
}
