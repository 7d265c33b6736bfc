/** Smart HTTP git for tests: `git upload-pack` and `git receive-pack` over repositories in a folder, with optional basic authentication. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createGunzip } from "node:zlib";

// Without hooks to copy and without the housekeeping that git starts after a commit: a test makes many repositories.
const settings = [
  ...["user.name=Test", "user.email=test@example.com", "init.defaultBranch=main", "init.templateDir="],
  ...["gc.auto=0", "maintenance.auto=false"],
].flatMap((setting) => ["-c", setting]);

/** Blocks this process: never use it against a server that runs in it. */
export function git(cwd: string, ...args: string[]): string {
  return execFileSync("git", [...settings, ...args], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 10_000,
  }).trim();
}

/** As `git init --separate-git-dir` does, without running git. */
function makeRepository(gitDir: string, work: string): void {
  for (const folder of [work, join(gitDir, "objects"), join(gitDir, "refs")]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(gitDir, "HEAD"), "ref: refs/heads/main\n");
  writeFileSync(join(gitDir, "config"), "[core]\n\trepositoryformatversion = 0\n\tbare = false\n");
  writeFileSync(join(work, ".git"), `gitdir: ${gitDir}\n`);
}

export interface TestRepository {
  url: string;
  /** a working copy to commit in; what it has on `main` is what the server has */
  work: string;
  /** writes files and commits; a file may be made executable. @returns the new head */
  commit(files: Record<string, string | { text: string; mode: number }>): string;
}

export interface TestGitServer {
  /** what it wants as `user:password`; null lets everybody in */
  credential: string | null;
  /** what it wants as `user:password` of whoever pushes; null lets everybody */
  writeCredential: string | null;
  /** answers every request with this status while set */
  failWith: number | null;
  /** answers nothing while set */
  hang: boolean;
  onRequest: () => void;
  /** requests are answered only after this */
  hold: Promise<void> | null;
  requests: number;
  /** requests with an Authorization header */
  authorized: number;
  create(name: string): TestRepository;
  stop(): Promise<void>;
}

export async function startGitServer(): Promise<TestGitServer> {
  const root = mkdtempSync(join(tmpdir(), "runtime-git-"));
  const http = createServer(async (request, response) => {
    await server.hold;
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
    const [, name = "", ...path] = url.pathname.split("/");
    if (!existsSync(join(root, name, "HEAD"))) return response.writeHead(404).end();
    const isWrite = url.searchParams.get("service") === "git-receive-pack" || path.join("/") === "git-receive-pack";
    const writer = isWrite ? server.writeCredential : null;
    if (writer !== null && header === undefined)
      return response.writeHead(401, { "www-authenticate": 'Basic realm="test"' }).end();
    if (writer !== null && header !== `Basic ${Buffer.from(writer).toString("base64")}`) return response.writeHead(403).end();
    return servePack(
      isWrite ? "receive-pack" : "upload-pack",
      join(root, name),
      path.join("/") === "info/refs",
      request,
      response,
    );
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const address = http.address();
  if (!address || typeof address === "string") throw new Error("no port");
  const { port } = address;
  const server: TestGitServer = {
    credential: null,
    writeCredential: null,
    failWith: null,
    hang: false,
    onRequest: () => undefined,
    hold: null,
    requests: 0,
    authorized: 0,
    create(name) {
      const served = join(root, `${name}.git`);
      const work = join(root, `${name}-work`);
      makeRepository(served, work);
      return {
        url: `http://127.0.0.1:${port}/${name}.git`,
        work,
        commit(files) {
          for (const [path, content] of Object.entries(files)) {
            const file = join(work, path);
            mkdirSync(dirname(file), { recursive: true });
            if (typeof content === "string") writeFileSync(file, content);
            else writeFileSync(file, content.text, { mode: content.mode });
          }
          git(work, "add", "-A");
          git(work, "commit", "--quiet", "--allow-empty", "-m", "Change");
          return readFileSync(join(served, "refs/heads/main"), "utf8").trim();
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

/** One request of a clone, fetch or push: what the server has, or a pack in one of the two directions. */
function servePack(
  service: "upload-pack" | "receive-pack",
  repository: string,
  isAdvertisement: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const protocol = String(request.headers["git-protocol"] ?? "");
  const phase = isAdvertisement ? ["--http-backend-info-refs"] : [];
  const child = spawn("git", ["-c", "safe.directory=*", service, "--stateless-rpc", ...phase, repository], {
    env: { PATH: process.env.PATH, GIT_PROTOCOL: protocol },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const kind = isAdvertisement ? "advertisement" : "result";
  response.writeHead(200, { "content-type": `application/x-git-${service}-${kind}`, "cache-control": "no-cache" });
  const announcement = `# service=git-${service}\n`;
  if (isAdvertisement && (service === "receive-pack" || !protocol.includes("version=2")))
    response.write(`${(announcement.length + 4).toString(16).padStart(4, "0")}${announcement}0000`);
  child.stdin.on("error", () => undefined);
  if (request.headers["content-encoding"] === "gzip") request.pipe(createGunzip()).pipe(child.stdin);
  else request.pipe(child.stdin);
  child.stdout.pipe(response);
}
