import { type App, type FileWatchEvent, type ModalClient, type Sandbox } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseTag, collect, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: ModalClient;
let app: App;
let sandbox: Sandbox;

beforeAll(async () => {
  harness = await startHarness();
  client = harness.connect();
  app = await client.apps.fromName("watch", { createIfMissing: true });
  sandbox = await client.sandboxes.create(app, client.images.fromRegistry(baseTag));
});
afterAll(() => harness.stop());

const sh = async (script: string) => {
  const process = await sandbox.exec(["sh", "-c", script]);
  expect(await process.wait()).toBe(0);
};

/** Repeats `poke` until the first event shows that the watch is on, does `act`, then takes events up to the one that `isLast`. */
async function eventsOf(
  events: AsyncIterable<FileWatchEvent>,
  poke: string,
  act: string,
  isLast: (event: FileWatchEvent) => boolean,
): Promise<string[]> {
  const seen: string[] = [];
  const poking = setInterval(() => void sh(poke), 100);
  let acting: Promise<void> | null = null;
  for await (const event of events) {
    clearInterval(poking);
    acting ??= sh(act);
    seen.push(`${event.eventType} ${event.paths.join(" ")}`);
    if (isLast(event)) break;
  }
  await acting;
  return [...new Set(seen)];
}
const upTo = (path: string) => (event: FileWatchEvent) => event.paths[0] === path && event.eventType === "Create";

describe("filesystem.watch", () => {
  it("tells what is made, changed and removed in a folder, and not what happens beneath", async () => {
    await sh("mkdir -p /tmp/w/sub; echo 1 > /tmp/w/there; echo 1 > /tmp/w/gone");
    const seen = await eventsOf(
      sandbox.filesystem.watch("/tmp/w"),
      "touch /tmp/w/there",
      "sleep 0.3; echo 2 > /tmp/w/new; echo 2 >> /tmp/w/there; rm /tmp/w/gone; touch /tmp/w/sub/deep; touch /tmp/w/last",
      upTo("/tmp/w/last"),
    );
    expect(seen).toEqual(
      expect.arrayContaining(["Create /tmp/w/new", "Modify /tmp/w/there", "Remove /tmp/w/gone", "Create /tmp/w/last"]),
    );
    expect(seen.join()).not.toContain("deep");
  });

  it("reaches folders made later when it is recursive", async () => {
    await sh("mkdir -p /tmp/r/a; touch /tmp/r/poke");
    const seen = await eventsOf(
      sandbox.filesystem.watch("/tmp/r", { recursive: true }),
      "touch /tmp/r/poke",
      "mkdir -p /tmp/r/a/b/c; touch /tmp/r/a/b/c/file; sleep 0.3; touch /tmp/r/a/b/c/last",
      upTo("/tmp/r/a/b/c/last"),
    );
    expect(seen).toEqual(expect.arrayContaining(["Create /tmp/r/a/b", "Create /tmp/r/a/b/c", "Create /tmp/r/a/b/c/file"]));
  });

  it("tells only what its filter lets through, and ends without an error at its time limit", async () => {
    await sh("mkdir -p /tmp/f");
    const changing = sh("for i in 1 2 3 4 5 6 7 8; do echo x > /tmp/f/$i; sleep 0.1; rm /tmp/f/$i; done");
    const events = await collect(sandbox.filesystem.watch("/tmp/f", { filter: ["Remove"], timeoutMs: 1000 }));
    await changing;
    expect(new Set(events.map((event) => event.eventType))).toEqual(new Set(["Remove"]));
    expect(await collect(sandbox.filesystem.watch("/tmp/f", { filter: [], timeoutMs: 1000 }))).toEqual([]);
  });

  it("watches a single file by its name, through a link", async () => {
    await sh("mkdir -p /tmp/s; echo 1 > /tmp/s/file; ln -s file /tmp/s/link");
    const seen = await eventsOf(
      sandbox.filesystem.watch("/tmp/s/link"),
      "touch /tmp/s/file",
      "echo other > /tmp/s/other; rm /tmp/s/file; sleep 0.1; echo back > /tmp/s/file",
      upTo("/tmp/s/file"),
    );
    expect(seen).toEqual(["Modify /tmp/s/file", "Remove /tmp/s/file", "Create /tmp/s/file"]);
  });

  it("of a path that is not there fails, and leaves no process behind when it is left", async () => {
    const nowhere = sandbox.filesystem.watch("/tmp/nowhere")[Symbol.asyncIterator]();
    await expect(nowhere.next()).rejects.toMatchObject({ name: "SandboxFilesystemNotFoundError" });
    const left = await sandbox.exec(["sh", "-c", "grep -l event_typ[e] /proc/[0-9]*/cmdline | wc -l"]);
    expect(await left.stdout.readText()).toBe("0\n");
  });
});
