/** `npm run tick [-- --data DIR | --url URL]`: fires the Cron Trigger of the running system now and says what it decided for each repository. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createApi, until } from "./api.ts";
import { root } from "./prerequisites.ts";
import { cronUrl } from "./system.ts";

const { values } = parseArgs({ options: { data: { type: "string", default: join(root, ".data") }, url: { type: "string" } } });
const words = {
  unchanged: "unchanged, nothing to do",
  moved: "moved, rebuilding",
  retried: "last build failed, trying again",
  building: "a build is running already",
  renewed: "near its end or of an old runtime, rebuilding",
  ignored_paths: "only ignored paths changed, nothing to do",
  pinned: "an image is pinned, nothing to do",
  backing_off: "waiting before the next try of a failed build",
  archived: "archived, nothing to do",
  unavailable: "GitHub could not be asked; next tick tries again",
} as const;

try {
  const url = values.url ?? readRunning(join(resolve(values.data), "system.json")).url;
  const firedAt = Date.now();
  const answer = await fetch(cronUrl(url), { signal: AbortSignal.timeout(30_000) });
  if (!answer.ok) throw new Error(`The Cron Trigger answered ${answer.status}: ${await answer.text()}`);
  const api = createApi(url);
  const checked = await until("every repository compared", 30_000, async () => {
    const enabled = (await api.repositories()).repositories.filter((one) => one.image.enabled);
    return enabled.every((one) => (one.image.lastCheck?.at ?? 0) >= firedAt) ? enabled : null;
  });
  if (checked.length === 0) console.log(`No repository is switched on. Switch one on in ${url}/settings/images.`);
  for (const { owner, name, image } of checked) {
    const check = image.lastCheck;
    if (check) console.log(`${`${owner}/${name}`.padEnd(28)} ${(check.sha ?? "").slice(0, 7).padEnd(8)} ${words[check.outcome]}`);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

function readRunning(path: string): { url: string } {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    throw new Error("No running system found. Start it with npm start (and name its --data folder here too).");
  }
}
