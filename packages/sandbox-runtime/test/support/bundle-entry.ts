/** Bundles the runtime's test program once for all test files, as the product is bundled: its many sources take half a second to load. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { type TestProject } from "vitest/node";
import { defineAgentPlugin } from "../../src/bundle.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** path of the program that tests run as the runtime */
    runtimeEntry: string;
  }
}

export default async function bundleEntry(project: TestProject): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), "runtime-entry-"));
  const outfile = join(folder, "entry.mjs");
  await build({
    entryPoints: [join(import.meta.dirname, "entry.ts")],
    bundle: true,
    outfile,
    platform: "node",
    target: "node22",
    format: "esm",
    define: await defineAgentPlugin(),
    sourcemap: "linked",
    logLevel: "warning",
  });
  project.provide("runtimeEntry", outfile);
  return () => rmSync(folder, { recursive: true, force: true });
}
