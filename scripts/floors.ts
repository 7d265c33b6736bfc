/**
 * Who may import whom. Imports go down: entrypoints → adapters → domain → protocol; packages see only what is listed; no
 * cycles; the domain stays pure. Pure over a list of files, so that its own test can feed it wrong ones.
 */
import { dirname, join, normalize } from "node:path";

export interface SourceFile {
  /** path from the repository's root */
  path: string;
  text: string;
}

/** Package → what it may import of ours. */
const packageImports: Record<string, string[]> = {
  protocol: [],
  web: ["@open-inspect/protocol"],
  "sandbox-runtime": ["@open-inspect/protocol"],
  "modal-client": ["@open-inspect/protocol", "@open-inspect/sandbox-runtime/bundle"],
  "control-plane": ["@open-inspect/protocol", "@open-inspect/modal-client/client"],
  emulators: ["@open-inspect/protocol"],
};

/** Higher may import lower or equal. Folders that are not named are entrypoints. */
const floors: Record<string, Record<string, number>> = {
  "control-plane": { domain: 1, adapters: 2 },
  "sandbox-runtime": { domain: 1, adapters: 2 },
  web: { lib: 1, ui: 2, features: 3, app: 4 },
};
const entrypointFloor = 9;

/** Hashing is a pure function, wherever it comes from. */
const pure = /import \{ createHash \} from "node:crypto";/;

/** What would make the domain impure: platform modules, the clock, chance. */
const impure =
  /\b(?:Date\.now|Math\.random|crypto\.|process\.|fetch\(|setTimeout|setInterval|new Date\(\)|cloudflare:|node:|drizzle-orm|hono|octokit)/;

/** One sentence for each breach; empty when all is well. */
export function findFloorBreaches(files: SourceFile[]): string[] {
  const breaches: string[] = [];
  const edges = new Map<string, string[]>();
  for (const file of files) {
    const [, name = "", root = "", ...rest] = file.path.split("/");
    if (root !== "src") continue;
    const floor = floorOf(name, rest[0] ?? "");
    if (floor === 1 && name !== "web") {
      const line = withoutComments(file.text)
        .split("\n")
        .find((one) => impure.test(one) && !pure.test(one));
      if (line !== undefined) breaches.push(`${file.path} is domain and must stay pure: ${line.trim()}`);
    }
    for (const { target, onlyTypes } of importsOf(file.text)) {
      if (target.startsWith("@open-inspect/")) {
        if (!(packageImports[name] ?? []).includes(target)) breaches.push(`${file.path} may not import ${target}`);
      } else if (target.startsWith(".")) {
        const path = normalize(join(dirname(file.path), target));
        if (!onlyTypes) edges.set(file.path, [...(edges.get(file.path) ?? []), path]);
        const [, otherName = "", , ...otherRest] = path.split("/");
        if (otherName !== name) breaches.push(`${file.path} reaches into another package: ${target}`);
        else if (floorOf(name, otherRest[0] ?? "") > floor) breaches.push(`${file.path} imports upwards: ${target}`);
      }
    }
  }
  return [...breaches, ...findCycles(edges)];
}

function floorOf(packageName: string, folder: string): number {
  return floors[packageName]?.[folder] ?? (folder.includes(".") || floors[packageName] ? entrypointFloor : 1e3);
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
}

/** `onlyTypes`: nothing is left of the import at run time, so it cannot be part of a cycle. */
function importsOf(text: string): { target: string; onlyTypes: boolean }[] {
  const found = withoutComments(text).matchAll(
    /(?:^|\n)\s*(?:import|export)\b([^;"']*?)from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s+["']([^"']+)["']/g,
  );
  return [...found].flatMap(([, names = "", target, dynamic, bare]) => {
    const path = target ?? dynamic ?? bare;
    if (path === undefined) return [];
    const specifiers =
      /\{([^}]*)\}/
        .exec(names)?.[1]
        ?.split(",")
        .map((one) => one.trim())
        .filter((one) => one !== "") ?? [];
    const typesOnly = /^\s*type\b/.test(names) || (specifiers.length > 0 && specifiers.every((one) => one.startsWith("type ")));
    return [{ target: path, onlyTypes: typesOnly && !/^\s*[\w$]+\s*,/.test(names) }];
  });
}

function findCycles(edges: Map<string, string[]>): string[] {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: string[]) => {
    const seenAt = trail.indexOf(path);
    if (seenAt >= 0) {
      cycles.push(`cycle: ${[...trail.slice(seenAt), path].join(" → ")}`);
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}
