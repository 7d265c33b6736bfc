/** The commands of the README as a person runs them: what they print, what they leave behind, what the next start finds. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { createApi, until, untilImageOf, untilReady, untilSynced } from "../api.ts";
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

/** The runtime of the local Worker, in the process group that a start recorded. */
function workerRuntime(folder: string): number {
  const recorded: { name: string; pid: number }[] = JSON.parse(readFileSync(join(folder, "processes.json"), "utf8"));
  const leader = recorded.find((one) => one.name === "worker")?.pid;
  const pid = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .find((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const group = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]);
        return group === leader && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("workerd\0serve");
      } catch {
        return false;
      }
    });
  return Number(pid);
}

const git = (...words: string[]) =>
  promisify(execFile)("git", ["-c", "user.name=Me", "-c", "user.email=me@example.com", ...words]);

// One data folder through three starts: the person's first one, one after Ctrl-C, one after a kill.
describe.skipIf(process.platform !== "linux")("npm start", () => {
  it("serves the person's own repository, leaves nothing after Ctrl-C or a kill, and finds its data each time", {
    timeout: 240_000,
  }, async () => {
    const own = "local/my-project";
    const folder = temporaryFolder();
    const mine = join(temporaryFolder(), "my-project");
    await git("init", "--quiet", "--initial-branch", "trunk", mine);
    mkdirSync(join(mine, ".openinspect"));
    writeFileSync(join(mine, ".openinspect/setup.sh"), "#!/bin/sh\necho made > made.txt\n", { mode: 0o755 });
    await git("-C", mine, "add", "--all");
    await git("-C", mine, "commit", "--quiet", "-m", "Begin");
    const sha = (await git("-C", mine, "rev-parse", "HEAD")).stdout.trim();
    const first = run("start.ts", "--data", folder, "--port", "0", "--repo", mine);
    const api = createApi(await urlOf(first));
    const found = (await api.repositories()).repositories.find((one) => `${one.owner}/${one.name}` === own);
    expect(found).toMatchObject({ defaultBranch: "trunk" });
    await api.setImage(own, true);
    await untilImageOf(api, own, sha, 60_000);
    // Its sandbox starts the agent when Ctrl-C comes; the kill below meets one that runs.
    await untilSynced(api, (await api.startSession({ repository: own })).id);
    signalGroup(first.child, "SIGINT");
    expect(await first.exited).toBe(0);
    expect(processesOf(folder)).toEqual([]);
    expect(mountsOf(folder)).toEqual([]);
    expect(readdirSync(ownTmp())).toEqual([]);

    const second = start(folder);
    const again = createApi(await urlOf(second));
    expect((await again.image(own)).active?.sha).toBe(sha);
    const session = await untilReady(again, (await again.startSession({ repository: own })).id, 60_000);
    expect(session.receipt?.startedFrom).toBe("image");

    // As its own output says: clone, commit, push. The webhook begins the build, nobody has to tick.
    const [, url = ""] = await second.line(/git clone (\S+)/);
    const checkout = join(temporaryFolder(), "checkout");
    await git("clone", "--quiet", url.replace(repository, own), checkout);
    await git("-C", checkout, "commit", "--quiet", "--allow-empty", "-m", "Push something");
    await git("-C", checkout, "push", "--quiet");
    const pushed = (await git("-C", checkout, "rev-parse", "HEAD")).stdout.trim();
    const { build } = await untilImageOf(again, own, pushed, 60_000);
    expect(build.trigger).toBe("push");

    // Its process lives on without the runtime; nobody but the watch sees it.
    process.kill(workerRuntime(folder), "SIGKILL");
    const state = await until("the Worker back", 30_000, () => again.image(own).catch(() => null));
    expect(state.active?.sha).toBe(pushed);

    second.child.kill("SIGKILL");
    await second.exited;
    await until("every process gone", 20_000, async () => (processesOf(folder).length === 0 ? true : null)).catch(
      () => undefined,
    );
    expect(processesOf(folder)).toEqual([]);

    const third = start(folder);
    const last = createApi(await urlOf(third));
    const before = (await last.image(own)).active;
    expect(before?.sha).toBe(pushed);
    const { build: accepted } = await last.rebuild(own);
    await until("an image that was built after the kill", 60_000, async () =>
      (await last.build(accepted.id)).status === "ready" ? true : null,
    );
    signalGroup(third.child, "SIGINT");
    expect(await third.exited).toBe(0);
    expect(processesOf(folder)).toEqual([]);
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
