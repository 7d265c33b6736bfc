/** Bundles the runtime into the one file that base images carry. The same sources give the same bytes on every machine. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";

/** zod carries its messages in fifty languages, which would be three quarters of the bundle and half of its load time. */
const englishOnly: Plugin = {
  name: "english-only",
  setup(build) {
    build.onLoad({ filter: /zod\/v4\/locales\/index\.js$/ }, () => ({ contents: 'export { default as en } from "./en.js";' }));
  },
};

/** What an entry point needs, in one module, in memory. */
const oneModule = {
  absWorkingDir: import.meta.dirname,
  bundle: true,
  write: false,
  platform: "node",
  target: "node22",
  format: "esm",
  minify: true,
  legalComments: "none",
  logLevel: "silent",
} satisfies BuildOptions;

/** What `plugin/source.ts` gives at run time: the plugin for OpenCode, which loads it as a file of its own. */
export async function defineAgentPlugin(): Promise<Record<string, string>> {
  const result = await build({
    ...oneModule,
    entryPoints: [join(import.meta.dirname, "plugin/agent-plugin.ts")],
  });
  const [output] = result.outputFiles;
  if (!output) throw new Error("esbuild gave no output for the plugin");
  return { agentPluginSource: JSON.stringify(output.text) };
}

/** @returns the program and its sha256 as hex; its first 16 digits are the runtime's version */
export async function buildRuntimeBundle(): Promise<{ code: Uint8Array; sha256: string }> {
  const result = await build({
    ...oneModule,
    entryPoints: [join(import.meta.dirname, "main.ts")],
    plugins: [englishOnly],
    define: await defineAgentPlugin(),
  });
  const code = result.outputFiles[0]?.contents;
  if (!code) throw new Error("esbuild gave no output");
  return { code, sha256: createHash("sha256").update(code).digest("hex") };
}
