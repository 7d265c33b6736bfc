/**
 * `node worker.ts SETTINGS`: runs the Worker in workerd until it is told to end. SETTINGS is a JSON file that nobody else may read, as it
 * holds the Worker's secrets. Standard output is one line `{ "worker": URL }` and what the Worker logs. Does not know what is in the bundle.
 */
import { readFileSync } from "node:fs";
import { createRequire, SourceMap } from "node:module";
import { dirname, join, resolve } from "node:path";
import { onInterruption } from "./interruption.ts";

// Six megabytes of CommonJS, which an import would parse once more to find that out.
const { convertV4MiniflareOptions, Log, LogLevel, Miniflare }: typeof import("miniflare") = createRequire(import.meta.url)(
  "miniflare",
);

const settings: import("./worker-bundle.ts").WorkerSettings = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"));
const script = join(settings.bundle, "worker.js");
const options: import("miniflare").V4WorkerOptions = JSON.parse(readFileSync(join(settings.bundle, "options.json"), "utf8"));

/** Traces of the runtime itself, told beside those of the Worker's code. */
const addresses = /^stack: \S*workerd@/m;

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: settings.port,
    // Nothing but loopback is asked: no sample of Cloudflare's request properties, no telemetry.
    cf: false,
    telemetry: { enabled: false },
    // The Cron Trigger is fired through a URL.
    unsafeTriggerHandlers: true,
    unsafeLocalExplorer: false,
    // The local trace collector slows sockets by an order of magnitude.
    unsafeObservability: false,
    logRequests: false,
    log: new Log(LogLevel.WARN),
    // What nothing in the Worker catches is told by the runtime alone.
    verbose: true,
    handleStructuredLogs: ({ message }) => {
      if (!addresses.test(message)) process.stdout.write(`${inSources(message)}\n`);
    },
    resourcePersistencePath: join(settings.persistTo, "v3"),
    workers: [
      {
        ...options,
        bindings: { ...options.bindings, ...settings.vars },
        ...(options.assets && { assets: { ...options.assets, directory: settings.dashboard } }),
        modulesRoot: settings.bundle,
        modules: [{ type: "ESModule", path: script }],
      },
    ],
  }),
);
onInterruption(() => void miniflare.dispose().finally(() => process.exit(0)));
const url = await miniflare.ready;
process.stdout.write(`${JSON.stringify({ worker: url.origin })}\n`);

let map: SourceMap | undefined;
/** The places of a stack trace as those of the sources that were bundled. */
function inSources(text: string): string {
  return text.replaceAll(/(?:file:\/\/)?[^\s()"]*\/worker\.js:(\d+):(\d+)/g, (place, line: string, column: string) => {
    map ??= new SourceMap(JSON.parse(readFileSync(`${script}.map`, "utf8")));
    const found = map.findEntry(Number(line) - 1, Number(column) - 1);
    return "originalSource" in found
      ? `${resolve(dirname(script), found.originalSource)}:${found.originalLine + 1}:${found.originalColumn + 1}`
      : place;
  });
}
