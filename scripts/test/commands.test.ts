/** The commands of the README as a person runs them: what they print, what they leave behind, what the next start finds. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { createApi, until, untilImageOf, untilReady } from "../api.ts";
import { root } from "../prerequisites.ts";

const repository = "acme/notes-api";
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});

function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), "open-inspect-command-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Where the commands of one test put temporary files. */
let tmp: string | undefined;
function ownTmp(): string {
  tmp ??= temporaryFolder();
  return tmp;
}
afterEach(() => {
  tmp = undefined;
});

interface Command {
  child: ChildProcess;
  output: string[];
  line(match: RegExp): Promise<RegExpMatchArray>;
  exited: Promise<number | null>;
}

/** Runs a script in a process group of its own, as a terminal does, and with a folder for temporary files of its own. */
function run(script: string, ...args: string[]): Command {
  const child = spawn(process.execPath, [join(root, "scripts", script), ...args], {
    env: { ...process.env, TMPDIR: ownTmp() },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  cleanups.push(() => signalGroup(child, "SIGKILL"));
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    if (stream) createInterface({ input: stream }).on("line", (line) => output.push(line));
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return {
    child,
    output,
    exited,
    line: (match) =>
      until(`${script} to print ${match}`, 100_000, async () => {
        if (child.exitCode !== null) throw new Error(`${script} ended with ${child.exitCode}\n${output.join("\n")}`);
        return output.map((line) => line.match(match)).find((found) => found !== null) ?? null;
      }),
  };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals) {
  try {
    process.kill(-(child.pid ?? 0), signal);
  } catch {
    // Gone already.
  }
}

/** Processes whose command line or environment names a folder: whatever a start left behind mentions its data. */
function processesOf(folder: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        return command.includes(folder) || environment.includes(folder) ? [command.replaceAll("\0", " ")] : [];
      } catch {
        return [];
      }
    });
}

/** Mounts of this machine that have to do with a folder. */
const mountsOf = (folder: string) =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(folder));

const start = (folder: string) => run("start.ts", "--data", folder, "--port", "0");
const urlOf = async (command: Command) => (await command.line(/running:\s+(http:\S+)/))[1] ?? "";

describe.skipIf(process.platform !== "linux")("npm start", () => {
  it("leaves no process, mount or temporary folder after Ctrl-C, and finds yesterday's data when started again", async () => {
    const folder = temporaryFolder();
    const first = start(folder);
    const api = createApi(await urlOf(first));
    await api.setImage(repository, true);
    const sha = (await api.branches(repository)).branches[0]?.sha ?? "";
    await untilImageOf(api, repository, sha, 60_000);
    await untilReady(api, (await api.startSession({ repository })).id, 60_000);
    signalGroup(first.child, "SIGINT");
    expect(await first.exited).toBe(0);
    expect(processesOf(folder)).toEqual([]);
    expect(mountsOf(folder)).toEqual([]);
    expect(readdirSync(ownTmp())).toEqual([]);

    const second = start(folder);
    const again = createApi(await urlOf(second));
    expect((await again.image(repository)).active?.sha).toBe(sha);
    const session = await untilReady(again, (await again.startSession({ repository })).id, 60_000);
    expect(session.receipt?.startedFrom).toBe("image");

    // As its own output says: clone, commit, push. The webhook begins the build, nobody has to tick.
    const [, url = ""] = await second.line(/git clone (\S+)/);
    const checkout = join(temporaryFolder(), "checkout");
    const git = (...words: string[]) =>
      promisify(execFile)("git", ["-c", "user.name=Me", "-c", "user.email=me@example.com", ...words]);
    await git("clone", "--quiet", url, checkout);
    await git("-C", checkout, "commit", "--quiet", "--allow-empty", "-m", "Push something");
    await git("-C", checkout, "push", "--quiet");
    const pushed = (await git("-C", checkout, "rev-parse", "HEAD")).stdout.trim();
    const { build } = await untilImageOf(again, repository, pushed, 60_000);
    expect(build.trigger).toBe("push");
    signalGroup(second.child, "SIGINT");
    expect(await second.exited).toBe(0);
  });

  it("leaves nothing running when it is killed, and starts again on what it left", async () => {
    const folder = temporaryFolder();
    const first = start(folder);
    const api = createApi(await urlOf(first));
    await untilReady(api, (await api.startSession({ repository })).id, 60_000);
    first.child.kill("SIGKILL");
    await first.exited;
    await until("every process gone", 20_000, async () => (processesOf(folder).length === 0 ? true : null)).catch(
      () => undefined,
    );
    expect(processesOf(folder)).toEqual([]);
    const second = start(folder);
    await untilReady(
      createApi(await urlOf(second)),
      (await createApi(await urlOf(second)).startSession({ repository })).id,
      60_000,
    );
    signalGroup(second.child, "SIGINT");
    expect(await second.exited).toBe(0);
    expect(processesOf(folder)).toEqual([]);
  });

  it("adds a local git repository of the person's own", async () => {
    const folder = temporaryFolder();
    const mine = join(temporaryFolder(), "my-project");
    const git = (...args: string[]) =>
      promisify(execFile)("git", ["-c", "user.name=Me", "-c", "user.email=me@example.com", ...args]);
    await git("init", "--quiet", "--initial-branch", "trunk", mine);
    await git("-C", mine, "commit", "--quiet", "--allow-empty", "-m", "Begin");
    const command = run("start.ts", "--data", folder, "--port", "0", "--repo", mine);
    const api = createApi(await urlOf(command));
    const found = (await api.repositories()).repositories.find((one) => one.name === "my-project");
    expect(found).toMatchObject({ owner: "local", defaultBranch: "trunk" });
    signalGroup(command.child, "SIGINT");
    expect(await command.exited).toBe(0);
  });

  it.each([
    [["--port", "abc"], /no port/],
    [["--repo", "/nonexistent"], /no git repository/],
    [["--base", "windows"], /neither/],
    [["--unknown"], /unknown/i],
  ])("refuses %j with what is wrong and how it is used", async (args, reason) => {
    const command = run("start.ts", ...args);
    expect(await command.exited).toBe(2);
    expect(command.output.join("\n")).toMatch(reason);
    expect(command.output.join("\n")).toContain("Usage: npm start");
  });

  it("--reset refuses to delete a folder that is not its own", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "thesis.txt"), "years of work");
    const command = run("start.ts", "--data", folder, "--reset");
    expect(await command.exited).toBe(2);
    expect(readFileSync(join(folder, "thesis.txt"), "utf8")).toBe("years of work");
  });
});

describe("npm run emulators", () => {
  it("prints one line of JSON with three addresses, and ends on Ctrl-C", async () => {
    const command = run("emulators.ts", "--json");
    const [line] = await command.line(/^\{"modal".*\}$/);
    const urls = JSON.parse(line);
    expect(Object.keys(urls)).toEqual(["modal", "github", "model"]);
    expect((await fetch(`${urls.github}/repos/acme/notes-api`)).status).toBe(200);
    signalGroup(command.child, "SIGINT");
    expect(await command.exited).toBe(0);
  });
});

describe("npm run demo", () => {
  it("prints one JSON object, and exits 0 only when HEAD, setup and its files are as they must be", async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(root, "scripts/demo.ts"), "--json", "--repository", repository],
      { timeout: 110_000 },
    );
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ setupRanInSession: false, bakedSha: expect.stringMatching(/^[0-9a-f]{40}$/) });
    expect(result.syncedSha).not.toBe(result.bakedSha);
    for (const key of ["coldStartMs", "prebuiltStartMs", "ratio", "buildMs", "rebuildMs"]) expect(result[key]).toBeGreaterThan(0);
    expect(result.phases.cold).toHaveProperty("setup");
    expect(result.phases.prebuilt).toHaveProperty("sync");
    expect(result.phases.prebuilt).not.toHaveProperty("setup");
  });
});
