/** What the engine's tests share: an engine in a temporary directory, processes to their end, and the hash of a tree. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CreateEngineOptions, createEngine } from "../../src/modal/engine/create-engine.ts";
import {
  type ExecSpec,
  type Guest,
  type GuestSpec,
  type NetworkPolicy,
  type SandboxEngine,
} from "../../src/modal/engine/engine.ts";

const works = (program: string, ...args: string[]) => spawnSync(program, args, { stdio: "ignore" }).status === 0;
/** user and mount namespaces with an overlay in them */
export const hasNamespaces = process.platform === "linux" && works("unshare", "--user", "--map-root-user", "-m", "true");
export const hasBubblewrap = hasNamespaces && works("bwrap", "--version");
export const isRoot = process.getuid?.() === 0;

/** For the programs of the tests that run in processes of their own: they are compiled once, not at every start. */
export const programEnv = {
  ...process.env,
  NODE_COMPILE_CACHE: join(import.meta.dirname, "../../../../node_modules/.cache/open-inspect/compiled"),
};

export const openNetwork: NetworkPolicy = { blockNetwork: false, outboundDomainAllowlist: null, outboundCidrAllowlist: null };
export const closedNetwork: NetworkPolicy = { blockNetwork: true, outboundDomainAllowlist: null, outboundCidrAllowlist: null };

export interface TestEngine {
  engine: SandboxEngine;
  stateDir: string;
  base: string;
  log: string[];
  guest(spec?: Partial<GuestSpec>): Promise<Guest>;
  close(): Promise<void>;
}

export function newStateDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "oi-engine-"));
  chmodSync(dir, 0o711);
  return dir;
}

/** What subordinate users own only the engine can delete, in its namespace: it is asked before it closes. */
async function deleteEverything(engine: SandboxEngine, stateDir: string): Promise<void> {
  for (const store of readdirSync(stateDir).map((name) => join(stateDir, name, "snapshots"))) {
    if (!existsSync(store)) continue;
    for (const name of readdirSync(store)) await engine.deleteFilesystem(name.replace(/\.json$/, ""));
  }
}

export function removeStateDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true });
}

let guestCount = 0;

export async function openEngine(options: Partial<CreateEngineOptions> = {}): Promise<TestEngine> {
  const stateDir = options.stateDir ?? newStateDir();
  const log: string[] = [];
  const npmDir = ["/usr/lib/node_modules/npm", join(process.execPath, "../../lib/node_modules/npm")].find((dir) =>
    existsSync(dir),
  );
  const engine = await createEngine({
    forwardedPorts: [],
    tools: { node: process.execPath, ...(npmDir === undefined ? {} : { npm: join(npmDir, "bin/npm-cli.js") }) },
    toolDirs: npmDir === undefined ? {} : { "/opt/tools/lib/npm": npmDir },
    log: (line) => log.push(line),
    engine: "namespaces",
    ...options,
    stateDir,
  });
  const base = await engine.filesystemFromTag("local/host-toolchain");
  return {
    engine,
    stateDir,
    base,
    log,
    guest: (spec = {}) =>
      engine.createGuest({
        id: `test-${process.pid}-${++guestCount}`,
        filesystem: base,
        env: {},
        workdir: null,
        cpu: null,
        memoryMiB: null,
        network: closedNetwork,
        ...spec,
      }),
    async close() {
      await deleteEverything(engine, stateDir);
      await engine.close();
      removeStateDir(stateDir);
    },
  };
}

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

export const execSpec = (argv: string[], spec: Partial<ExecSpec> = {}): ExecSpec => ({
  argv,
  env: {},
  workdir: null,
  timeoutMs: 60_000,
  pty: false,
  ...spec,
});

/** Runs to the end with an empty input. */
export async function run(guest: Guest, argv: string[], spec: Partial<ExecSpec> = {}): Promise<Finished> {
  const process = await guest.exec(execSpec(argv, spec));
  const output: Record<1 | 2, Uint8Array[]> = { 1: [], 2: [] };
  process.onOutput((fd, bytes) => void output[fd].push(bytes));
  await process.closeStdin();
  const code = await process.exit;
  return { code, stdout: Buffer.concat(output[1]).toString(), stderr: Buffer.concat(output[2]).toString() };
}

export const shell = (guest: Guest, script: string, spec: Partial<ExecSpec> = {}) => run(guest, ["bash", "-c", script], spec);

/** Runs and insists on success. @returns what it printed */
export async function ok(guest: Guest, script: string, spec: Partial<ExecSpec> = {}): Promise<string> {
  const { code, stdout, stderr } = await shell(guest, script, spec);
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${stderr}${stdout}`);
  return stdout;
}

/** Prints one line per file beneath a directory: kind, mode, owner, size, time, link, group of hard links, content. */
const LIST_TREE = `
const fs = require("fs"), path = require("path"), crypto = require("crypto");
const groups = new Map();
const lines = [];
const walk = (file, name) => {
  const s = fs.lstatSync(file);
  const kind = s.mode & 0o170000;
  const parts = [name, s.mode.toString(8), s.uid, s.gid, Math.trunc(s.mtimeMs)];
  if (s.isSymbolicLink()) parts.push(fs.readlinkSync(file));
  if (s.isFile()) {
    parts.push(s.size, crypto.createHash("sha1").update(fs.readFileSync(file)).digest("hex"));
    if (s.nlink > 1) { if (!groups.has(s.ino)) groups.set(s.ino, name); parts.push("link:" + groups.get(s.ino), s.nlink); }
  }
  lines.push(parts.join(" "));
  if (s.isDirectory()) for (const each of fs.readdirSync(file).sort()) walk(path.join(file, each), path.join(name, each));
};
for (const root of process.argv.slice(1)) walk(root, root);
console.log(lines.join("\\n"));
`;

export async function listTree(guest: Guest, ...roots: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(guest, ["node", "-e", LIST_TREE, ...roots]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}
