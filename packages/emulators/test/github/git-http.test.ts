import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { addCommits, authenticated, git, gitEnv, person, startWorld, temporaryFolder } from "./support.ts";

const readme = { message: "Begin", files: { "README.md": "# Sample\n" } };
const clonesMax = 10;

test("anybody may clone a public repository; a private one asks for a token and refuses a wrong one", async () => {
  const world = await startWorld();
  const open = await world.github.addRepository({ owner: "acme", name: "open", empty: true });
  const closed = await world.github.addRepository({ owner: "acme", name: "closed", private: true, empty: true });
  await world.github.commit("acme", "open", readme);
  const { sha } = await world.github.commit("acme", "closed", readme);
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", open.cloneUrl, "open");
  await git(folder, "clone", "-q", open.cloneUrl.replace(/\.git$/, ""), "without-suffix");
  expect(await readFile(join(folder, "open", "README.md"), "utf8")).toBe("# Sample\n");
  await expect(git(folder, "clone", "-q", closed.cloneUrl, "no")).rejects.toThrow(/could not read Username/);
  await expect(git(folder, "clone", "-q", authenticated(closed.cloneUrl, "wrong"), "no")).rejects.toThrow(
    /Authentication failed/,
  );
  await expect(git(folder, "clone", "-q", `${world.github.url}/acme/none.git`, "no")).rejects.toThrow(/could not read Username/);
  await git(folder, "clone", "-q", authenticated(closed.cloneUrl, person.token), "closed");
  expect(await git(join(folder, "closed"), "rev-parse", "HEAD")).toBe(sha);
});

test.each([0, 1, 2])("protocol version %i clones, fetches and pushes", async (version) => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", readme);
  const folder = await temporaryFolder();
  const speak = ["-c", `protocol.version=${version}`];
  await git(folder, ...speak, "clone", "-q", authenticated(cloneUrl, person.token), "clone");
  const clone = join(folder, "clone");
  const { sha } = await world.github.commit("acme", "sample", { message: "More", files: { "more.txt": "more\n" } });
  await git(clone, ...speak, "fetch", "-q");
  expect(await git(clone, "rev-parse", "origin/main")).toBe(sha);
  await git(clone, "reset", "-q", "--hard", "origin/main");
  await git(clone, "commit", "-q", "--allow-empty", "-m", "Mine");
  await git(clone, ...speak, "push", "-q", "origin", "HEAD:refs/heads/topic");
  expect(await git(clone, "ls-remote", "origin", "topic")).toContain(await git(clone, "rev-parse", "HEAD"));
});

test("a token to read with cannot push, and a public repository takes no push without a token", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const { sha } = await world.github.commit("acme", "sample", readme);
  const { token } = await world.asInstallation("acme", ["sample"], { contents: "read" });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, token), "clone");
  const clone = join(folder, "clone");
  await git(clone, "commit", "-q", "--allow-empty", "-m", "Mine");
  await expect(git(clone, "push", "-q", "origin", "main")).rejects.toThrow(/Write access to repository not granted|403/);
  await expect(git(clone, "push", "-q", cloneUrl, "main")).rejects.toThrow(/could not read Username/);
  expect(await git(clone, "ls-remote", "origin", "main")).toContain(sha);
  const writer = await world.asInstallation("acme", ["sample"], { contents: "write" });
  await git(clone, "push", "-q", authenticated(cloneUrl, writer.token), "main");
});

test("an archived repository is read-only", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "old", archived: true, empty: true });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, person.token), "clone");
  await git(join(folder, "clone"), "commit", "-q", "--allow-empty", "-m", "Mine");
  await expect(git(join(folder, "clone"), "push", "-q", "origin", "HEAD")).rejects.toThrow(/archived|403/);
});

test("the first push to an empty repository makes its branch the default one", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "fresh", empty: true });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, person.token), "clone");
  const clone = join(folder, "clone");
  await git(clone, "checkout", "-q", "-b", "trunk");
  await git(clone, "commit", "-q", "--allow-empty", "-m", "First");
  await git(clone, "push", "-q", "origin", "trunk");
  expect((await world.withToken(person.token).request("GET /repos/acme/fresh")).data.default_branch).toBe("trunk");
  await git(folder, "clone", "-q", cloneUrl, "again");
  expect(await git(join(folder, "again"), "branch", "--show-current")).toBe("trunk");
});

test("large packs stream both ways, in chunks and compressed, shallow and without blobs", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "large", empty: true });
  const folder = await temporaryFolder();
  await git(folder, "init", "-q", "work");
  const work = join(folder, "work");
  await writeFile(join(work, "large.bin"), randomBytes(4 * 1024 * 1024));
  await git(work, "add", ".");
  await git(work, "commit", "-qm", "Large");
  await git(work, "commit", "-q", "--allow-empty", "-m", "Second");
  await git(work, "-c", "http.postBuffer=65536", "push", "-q", authenticated(cloneUrl, person.token), "main");
  await git(folder, "clone", "-q", "--depth=1", cloneUrl, "shallow");
  expect(await git(join(folder, "shallow"), "rev-list", "--count", "HEAD")).toBe("1");
  await git(folder, "clone", "-q", "--no-checkout", "--filter=blob:none", cloneUrl, "blobless");
  expect(await git(join(folder, "blobless"), "rev-list", "--objects", "--missing=print", "HEAD")).toMatch(/^\?[0-9a-f]{40}$/m);
  // Many different heads: git compresses the long list of what it wants.
  await addCommits(work, "main", 30);
  const heads = Array.from({ length: 30 }, (_, index) => `main~${index}:refs/heads/b${index}`);
  await git(work, "push", "-q", authenticated(cloneUrl, person.token), ...heads);
  const { stderr } = await promisify(execFile)("git", ["clone", "-q", cloneUrl, "many"], {
    cwd: folder,
    env: { ...gitEnv, GIT_TRACE_CURL: "1", GIT_TRACE_CURL_NO_DATA: "1" },
    maxBuffer: 1 << 26,
  });
  expect(stderr).toMatch(/Content-Encoding: gzip/i);
  expect(await git(join(folder, "many"), "rev-parse", "origin/b0")).toBe(await git(work, "rev-parse", "main"));
});

test("a push that would lose commits is refused unless it is forced", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", readme);
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, person.token), "clone");
  const clone = join(folder, "clone");
  await git(clone, "commit", "-q", "--amend", "--allow-empty", "-m", "Other history");
  await expect(git(clone, "push", "-q", "origin", "main")).rejects.toThrow(/rejected/);
  await git(clone, "push", "-q", "--force", "origin", "main");
  await expect(git(clone, "push", "-q", "origin", ":main")).rejects.toThrow(/refusing to delete the current branch/);
});

test("git's own reason reaches the client when it refuses", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", readme);
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, person.token), "clone");
  const clone = join(folder, "clone");
  await expect(git(clone, "fetch", "-q", "origin", "a".repeat(40))).rejects.toThrow(/not our ref/);
  await git(clone, "commit", "-q", "--allow-empty", "-m", "Mine");
  await expect(git(clone, "push", "-q", "origin", "HEAD:refs/source/heads/x")).rejects.toThrow(/deny updating a hidden ref/);
  // A commit that no ref reaches may be fetched by its id, as on GitHub.
  const { sha } = await world.github.commit("acme", "sample", { message: "More", files: { b: "2" } });
  await git(clone, "push", "-q", "--force", "origin", "main");
  await git(clone, "fetch", "-q", "origin", sha);
});

test("a push that arrived is finished though its client did not wait for the answer", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const work = await temporaryFolder();
  await git(work, "init", "-q");
  await git(work, "commit", "-q", "--allow-empty", "-m", "First");
  const head = await git(work, "rev-parse", "HEAD");
  const packing = promisify(execFile)("git", ["pack-objects", "--stdout", "--revs"], {
    cwd: work,
    env: gitEnv,
    encoding: "buffer",
  });
  packing.child.stdin?.end("HEAD\n");
  const { stdout: pack } = await packing;
  const command = `${"0".repeat(40)} ${head} refs/heads/main\0 report-status`;
  const line = (command.length + 4).toString(16).padStart(4, "0") + command;
  const body = Buffer.concat([Buffer.from(`${line}0000`), pack]);
  const basic = Buffer.from(`x:${person.token}`).toString("base64");
  const socket = connect(Number(new URL(world.github.url).port), "127.0.0.1");
  socket.write(
    `POST /acme/sample.git/git-receive-pack HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Basic ${basic}\r\ncontent-length: ${body.byteLength}\r\n\r\n`,
  );
  socket.end(body);
  const headers = { authorization: `token ${person.token}` };
  const branch = async () => (await fetch(`${world.github.url}/repos/acme/sample/branches/main`, { headers })).status;
  await expect.poll(branch).toBe(200);
  socket.destroy();
});

test("many clones at once all succeed", async () => {
  const world = await startWorld();
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", readme);
  const folder = await temporaryFolder();
  await Promise.all(Array.from({ length: clonesMax }, (_, index) => git(folder, "clone", "-q", cloneUrl, `clone-${index}`)));
  expect(await git(join(folder, `clone-${clonesMax - 1}`), "log", "--format=%s")).toBe("Begin");
});

test("no path of a URL leads out of the repositories", async () => {
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const raw = (path: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(world.github.url).port), "127.0.0.1");
      const head = `GET ${path}/info/refs?service=git-upload-pack HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nuser-agent: x\r\n\r\n`;
      socket.write(head);
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
      });
      socket.on("close", () => resolve(text.slice(9, 12)));
      socket.on("error", reject);
    });
  for (const path of [
    "/acme/..%2f..%2fetc",
    "/../../etc/x.git",
    "/acme/%2e%2e",
    "/acme/sample.git/../../x",
    "//etc/passwd",
    "/acme/sample%00.git",
  ]) {
    expect([path, await raw(path)]).toEqual([path, expect.stringMatching(/^40[14]$/)]);
  }
  expect(await raw("/acme/sample.git")).toBe("200");
  for (const name of ["..", ".", "a/b", "", "-x\n", "x.git"]) {
    await expect(world.github.addRepository({ owner: "acme", name, empty: true })).rejects.toThrow(
      /must be a GitHub repository name|cannot end in/,
    );
  }
  await expect(world.github.addRepository({ owner: "../x", name: "a", empty: true })).rejects.toThrow();
});

test("no git is left when the client goes away in the middle", async () => {
  const world = await startWorld();
  const dataDir = await temporaryFolder();
  const other = await startWorld({ dataDir });
  await other.github.addRepository({ owner: "acme", name: "large", empty: true });
  const folder = await temporaryFolder();
  await git(folder, "init", "-q", "work");
  await writeFile(join(folder, "work", "large.bin"), randomBytes(16 * 1024 * 1024));
  await git(join(folder, "work"), "config", "core.compression", "0");
  await git(join(folder, "work"), "add", ".");
  await git(join(folder, "work"), "commit", "-qm", "Large");
  await git(join(folder, "work"), "push", "-q", authenticated(`${other.github.url}/acme/large.git`, person.token), "main");
  const head = await git(join(folder, "work"), "rev-parse", "HEAD");
  const body = `${`0032want ${head}\n`}00000009done\n`;
  const port = Number(new URL(other.github.url).port);
  const socket = connect(port, "127.0.0.1");
  socket.write(
    `POST /acme/large.git/git-upload-pack HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  // The socket is not read any further: the answer is bigger than what fits between, so git has to wait.
  await new Promise<void>((resolve) => socket.once("readable", () => resolve()));
  expect(await gitsWorkingOn(dataDir)).toBeGreaterThan(0);
  socket.destroy();
  await expect.poll(() => gitsWorkingOn(dataDir), { timeout: 5000 }).toBe(0);
  expect(world.logs).toEqual([]);
});

/** How many git processes have this folder in their arguments. */
async function gitsWorkingOn(folder: string): Promise<number> {
  const ps = spawn("ps", ["-eo", "args"], { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  for await (const chunk of ps.stdout) text += String(chunk);
  return text.split("\n").filter((line) => /^(\S*\/)?git /.test(line) && line.includes(folder)).length;
}
