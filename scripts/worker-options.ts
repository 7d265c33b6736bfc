/** `node worker-options.ts WRANGLER_TOML FILE`: writes, as JSON, the name of the Worker and how Miniflare binds what its configuration names. */
import { writeFileSync } from "node:fs";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";

const [config = "", file = ""] = process.argv.slice(2);
const { name, vars } = unstable_readConfig({ config });
const { workerOptions, externalWorkers } = unstable_getMiniflareWorkerOptions(config);
if (externalWorkers.length > 0) throw new Error(`${config} binds other Workers, which do not run on this machine`);
// Variables come from the configuration alone: no file of somebody's secrets takes part.
const options = { ...workerOptions, name, bindings: vars };
const text = JSON.stringify(options, (key, value) => {
  if (typeof value === "function") throw new Error(`the binding of ${key} is code, which cannot be kept`);
  return value;
});
writeFileSync(file, text);
