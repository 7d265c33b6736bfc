/**
 * Git's smart HTTP protocol over `git upload-pack` and `git receive-pack`: streamed both ways, gzip bodies, protocol 0 to 2.
 * Does not know what a push is announced to; it only says that one ended.
 */
import { type IncomingMessage, type ServerResponse } from "node:http";
import { Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { type Access, type Decision, type Identity } from "./access.ts";
import { type Git } from "./git.ts";
import { type Repositories, type Repository } from "./repositories.ts";
import { createSlots } from "./slots.ts";

const operationTimeoutMs = 600_000;
/** Git itself says something every five seconds while it works. */
const idleTimeoutMs = 120_000;
const fetchRequestMaxBytes = 32 * 1024 * 1024;
const pushRequestMaxBytes = 2 * 1024 * 1024 * 1024;

export interface GitRequest {
  service: "git-upload-pack" | "git-receive-pack";
  phase: "advertisement" | "rpc";
  owner: string;
  name: string;
}

/** Reads a request for git out of its URL; null when it is none. The `.git` may be left out, as on GitHub. */
export function parseGitRequest(method: string, url: URL): GitRequest | null {
  const match = /^\/([^/]+)\/([^/]+?)(?:\.git)?\/(info\/refs|git-upload-pack|git-receive-pack)$/.exec(url.pathname);
  const [, owner = "", name = "", end] = match ?? [];
  if (end === undefined) return null;
  const service = end === "info/refs" ? url.searchParams.get("service") : end;
  if (service !== "git-upload-pack" && service !== "git-receive-pack") return null;
  if (end === "info/refs" ? method !== "GET" : method !== "POST") return null;
  return { service, phase: end === "info/refs" ? "advertisement" : "rpc", owner, name };
}

const pkt = (text: string) => (text.length + 4).toString(16).padStart(4, "0") + text;

function limitBytes(max: number): Transform {
  let seen = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.byteLength;
      if (seen > max) done(new Error("The request is larger than GitHub takes."));
      else done(null, chunk);
    },
  });
}

export function createGitHttp(ports: {
  git: Git;
  repositories: Repositories;
  access: Access;
  url: () => string;
  /** Called after every receive-pack, successful or not, before the client is told that it is over. */
  onReceived: (repository: Repository, identity: Identity) => Promise<void>;
  log: (line: string) => void;
}) {
  const slots = createSlots({ max: 8, queueMax: 64, waitMs: 30_000 });

  const refuse = (req: IncomingMessage, res: ServerResponse, status: number, message: string, headers = {}) => {
    if (res.headersSent || res.destroyed) return;
    res.writeHead(status, { "content-type": "text/plain; charset=utf-8", ...headers });
    res.end(`${message}\n`);
    // What is left of a refused push is not worth reading to its end.
    req.resume();
  };
  const challenge = { "www-authenticate": 'Basic realm="GitHub"' };

  return async function handle(req: IncomingMessage, res: ServerResponse, target: GitRequest): Promise<void> {
    const identified = ports.access.identify(req.headers.authorization);
    if ("refused" in identified) {
      if (identified.status === 403) return refuse(req, res, 403, identified.refused);
      return refuse(req, res, 401, "Invalid username or token.", challenge);
    }
    const { identity } = identified;
    const pushing = target.service === "git-receive-pack";
    const here = ports.repositories.find(target.owner, target.name);
    const repository = here ?? ports.repositories.findMoved(target.owner, target.name);
    let decision: Decision = "hidden";
    if (repository) {
      decision = pushing ? ports.access.mayPush(identity, repository) : ports.access.mayRead(identity, repository, "contents");
    }
    if (repository === null || decision !== "yes") {
      // Without credentials GitHub asks for some whether or not the repository exists.
      if (identity.kind === "anonymous") return refuse(req, res, 401, "No anonymous access.", challenge);
      if (decision === "denied") return refuse(req, res, 403, "Write access to repository not granted.");
      return refuse(req, res, 404, "Repository not found.");
    }
    if (here === null) {
      // Git asks for the listing first, follows, and stays with the address that it was led to.
      const [, , , ...rest] = (req.url ?? "").split("/");
      const location = `${ports.url()}/${repository.owner.login}/${repository.name}.git/${rest.join("/")}`;
      return refuse(req, res, 301, "Moved permanently.", { location });
    }
    if (pushing && repository.archived) return refuse(req, res, 403, "This repository was archived so it is read-only.");

    const release = await slots.take();
    if (release === null) return refuse(req, res, 503, "Too many git operations at once.", { "retry-after": "5" });
    try {
      await serve(req, res, target, repository, identity);
    } catch (error) {
      ports.log(`${target.service} of ${target.owner}/${target.name}: ${error instanceof Error ? error.message : "failed"}`);
      if (res.headersSent) res.destroy();
      else refuse(req, res, 500, "Internal server error.");
    } finally {
      release();
    }
  };

  async function serve(
    req: IncomingMessage,
    res: ServerResponse,
    target: GitRequest,
    repository: Repository,
    identity: Identity,
  ): Promise<void> {
    if (res.destroyed) return;
    const advertising = target.phase === "advertisement";
    const receiving = target.service === "git-receive-pack" && !advertising;
    const asked = req.headers["git-protocol"];
    const protocol = typeof asked === "string" && /^[a-z0-9=:.-]{1,100}$/.test(asked) ? asked : "";
    // What changes is measured against the refs as they were before the push.
    if (receiving) await ports.repositories.refs(repository);

    const { child, kill } = ports.git.stream(
      [
        target.service.slice("git-".length),
        "--stateless-rpc",
        ...(advertising ? ["--http-backend-info-refs"] : []),
        ports.repositories.gitDir(repository),
      ],
      protocol === "" ? {} : { GIT_PROTOCOL: protocol },
    );
    const deadline = setTimeout(kill, operationTimeoutMs);
    // A push that has arrived as a whole is finished even when nobody waits for its answer any more.
    const onGone = () => {
      child.stdout.unpipe(res);
      child.stdout.resume();
      if (!receiving || !req.complete) kill();
    };
    res.once("close", onGone);
    const onIdle = () => req.socket.destroy();
    req.socket.setTimeout(idleTimeoutMs, onIdle);
    // null: killed
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => {
      if (complaint.length < 2000) complaint += chunk.toString("utf8");
    });

    try {
      const begin = () => {
        if (res.headersSent || res.destroyed) return;
        res.writeHead(200, {
          "content-type": `application/x-${target.service}-${advertising ? "advertisement" : "result"}`,
          "cache-control": "no-cache, max-age=0, must-revalidate",
          expires: "Fri, 01 Jan 1980 00:00:00 GMT",
          pragma: "no-cache",
        });
        if (advertising && !/(^|:)version=2(:|$)/.test(protocol)) res.write(`${pkt(`# service=${target.service}\n`)}0000`);
      };
      child.stdout.once("data", begin);
      const maxBytes = receiving ? pushRequestMaxBytes : fetchRequestMaxBytes;
      let unreadable = false;
      const input = advertising
        ? Promise.resolve(child.stdin.end())
        : feed(req, child.stdin, maxBytes).catch(() => {
            unreadable = true;
            kill();
          });
      child.stdout.pipe(res, { end: false });
      const code = await ended;
      await input;
      // Before the answer ends: who has pushed sees the new refs in whatever is asked next.
      if (receiving) await ports.onReceived(repository, identity);
      if (code !== 0 && !res.destroyed) {
        const lastLine = complaint
          .trim()
          .split(/[\r\n]/)
          .at(-1);
        ports.log(`${target.service}: ${lastLine || "ended early"}`);
        if (!res.headersSent && unreadable) return refuse(req, res, 400, "The request could not be read.");
        if (!res.headersSent) return refuse(req, res, 500, "Internal server error.");
      }
      begin();
      if (code === null) res.destroy();
      else res.end();
    } finally {
      clearTimeout(deadline);
      res.off("close", onGone);
      req.socket.setTimeout(0, onIdle);
      kill();
    }
  }
}

/** Hands the body to git, and reads it to its end even when git has stopped listening: its reason must reach the client. */
async function feed(req: IncomingMessage, stdin: Writable, maxBytes: number): Promise<undefined> {
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (stdin.destroyed) done();
      else stdin.write(chunk, () => done());
    },
    final(done) {
      stdin.end();
      done();
    },
  });
  if (req.headers["content-encoding"] === "gzip") await pipeline(req, createGunzip(), limitBytes(maxBytes), sink);
  else await pipeline(req, limitBytes(maxBytes), sink);
}
