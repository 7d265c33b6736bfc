/** What the local Worker runs: made once for each state of its sources, and made again when a person edits them. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { bundleWorker, watchWorkerSources } from "../worker-bundle.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean();
});

it("is bundled once: whoever asks again gets the same files", async () => {
  const folder = await bundleWorker();
  const script = join(folder, "worker.js");
  const madeAt = statSync(script).mtimeMs;
  expect(await Promise.all([bundleWorker(), bundleWorker()])).toEqual([folder, folder]);
  expect(statSync(script).mtimeMs).toBe(madeAt);
  expect(readdirSync(folder)).toEqual(expect.arrayContaining(["worker.js", "worker.js.map", "options.json"]));
});

it("binds what wrangler.toml names, and nothing else", async () => {
  const options = JSON.parse(readFileSync(join(await bundleWorker(), "options.json"), "utf8"));
  expect(options).toMatchObject({
    name: "open-inspect",
    compatibilityFlags: ["nodejs_compat"],
    d1Databases: { DB: {} },
    durableObjects: { IMAGES: { className: "ImageObject", useSQLite: true } },
    assets: { binding: "ASSETS", run_worker_first: ["/api/*", "/bridge/*", "/model/*"] },
  });
  const configured = readFileSync(join(import.meta.dirname, "../../wrangler.toml"), "utf8");
  for (const name of Object.keys(options.bindings)) expect(configured).toContain(`\n${name} = `);
});

it("says once that a source was written, replaced, added or removed", () => {
  const folder = mkdtempSync(join(tmpdir(), "open-inspect-sources-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const write = (path: string, text: string) => writeFileSync(join(folder, path), text);
  mkdirSync(join(folder, "src/deep"), { recursive: true });
  write("src/deep/one.ts", "1");
  write("other.ts", "1");
  const changed = watchWorkerSources([join(folder, "src"), join(folder, "wrangler.toml")]);
  const edits = [
    () => write("src/deep/one.ts", "12"),
    () => {
      // As editors do that write beside a file and then put it in its place.
      write("one.new", "13");
      renameSync(join(folder, "one.new"), join(folder, "src/deep/one.ts"));
    },
    () => write("src/new/two.ts", "1"),
    () => write("wrangler.toml", "1"),
    () => rmSync(join(folder, "src/new/two.ts")),
  ];
  for (const [index, edit] of edits.entries()) {
    write("other.ts", "2");
    write(`src/.one.ts.${index}.swp`, "what an editor keeps");
    mkdirSync(join(folder, "src/new"), { recursive: true });
    expect(changed()).toBe(false);
    edit();
    expect(changed()).toBe(true);
  }
  expect(changed()).toBe(false);
});
