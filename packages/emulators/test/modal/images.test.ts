import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type App, type Image, type ModalClient } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseTag, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: ModalClient;
let app: App;
let now = Date.now();

beforeAll(async () => {
  harness = await startHarness({ now: () => now });
  await reconnect();
});
afterAll(() => harness.stop());

async function reconnect(): Promise<void> {
  client = harness.connect();
  app = await client.apps.fromName("images", { createIfMissing: true });
}
const base = () => client.images.fromRegistry(baseTag);

async function run(image: Image, script: string): Promise<string> {
  const sandbox = await client.sandboxes.create(app, image);
  const process = await sandbox.exec(["sh", "-c", script]);
  const text = await process.stdout.readText();
  await sandbox.terminate();
  return text;
}

describe("image builds", () => {
  it("run commands, carry environment and workdir, and stack layers", async () => {
    const braced = "$" + "{NAME}s";
    const image = base()
      .dockerfileCommands(["ENV NAME=world GREETING='two words'", "WORKDIR /root/deep", 'RUN echo "hello $NAME" > file'])
      .dockerfileCommands([
        "WORKDIR er",
        `ENV PATH=/opt/x:$PATH NAME=${braced}`,
        'RUN basename "$(pwd)" > where && cat ../file >> where',
      ]);
    const firstInPath = 'IFS=:; set -- $PATH; echo "$1"';
    expect(await run(image, `cat where; basename "$(pwd)"; echo "$NAME, $GREETING"; ${firstInPath}`)).toBe(
      "er\nhello world\ner\nworlds, two words\n/opt/x\n",
    );
  });

  it("take a file that travels in their lines", async () => {
    const chunk = "x".repeat(40_000);
    const image = base().dockerfileCommands(Array.from({ length: 5 }, () => `RUN printf %s ${chunk} >> /root/file`));
    expect(await run(image, "wc -c < /root/file")).toBe("200000\n");
  });

  it("are cached by content, for each layer", async () => {
    const layers = () => base().dockerfileCommands(["RUN head -c 8 /dev/urandom | base64 > /root/random"]);
    const first = await layers().build(app);
    const second = await layers().build(app);
    expect(second.imageId).toBe(first.imageId);
    const onTop = await layers().dockerfileCommands(["RUN cp /root/random /root/copy"]).build(app);
    expect(await run(onTop, "cat /root/copy")).toBe(await run(first, "cat /root/random"));
    const forced = await base()
      .dockerfileCommands(["RUN head -c 8 /dev/urandom | base64 > /root/random"], { forceBuild: true })
      .build(app);
    expect(forced.imageId).not.toBe(first.imageId);
  });

  it("that are identical and concurrent are one", async () => {
    const build = () => base().dockerfileCommands(["RUN sleep 0.4; head -c 8 /dev/urandom | base64 > /root/once"]).build(app);
    const ids = new Set((await Promise.all([build(), build(), build()])).map((image) => image.imageId));
    expect(ids.size).toBe(1);
  });

  it("see secrets, which stay out of the image and of the state on disk", async () => {
    const secret = await client.secrets.fromObject({ BUILD_SECRET: "hunter2" });
    const image = base().dockerfileCommands(['RUN test "$BUILD_SECRET" = hunter2'], { secrets: [secret] });
    expect(await run(image, 'echo "<$BUILD_SECRET>"')).toBe("<>\n");
    expect(await readFile(join(harness.stateDir, "state", "modal-state.json"), "utf8")).not.toContain("hunter2");
    const other = await client.secrets.fromObject({ BUILD_SECRET: "changed" });
    await expect(
      base()
        .dockerfileCommands(['RUN test "$BUILD_SECRET" = hunter2'], { secrets: [other] })
        .build(app),
    ).rejects.toThrow(/ended with code 1/);
  });

  it("that fail say which command and what it printed last", async () => {
    const image = base().dockerfileCommands(["RUN true", "RUN echo the cause is here >&2; exit 9"]);
    await expect(image.build(app)).rejects.toThrow(/RUN echo.*ended with code 9.*the cause is here/s);
  });

  it.each([
    ["COPY --from=other /a /b", /does not support COPY/],
    ["ADD https://example.com/x /x", /does not support ADD/],
    ["USER nobody", /does not support USER/],
    ["RUN --mount=type=cache,target=/x true", /RUN options are not supported/],
    ['CMD ["node"]', /only as CMD \[\]/],
  ])("refuse %s with a reason", async (line, reason) => {
    await expect(base().dockerfileCommands([line]).build(app)).rejects.toThrow(reason);
  });

  it("of an unknown registry tag fail", async () => {
    await expect(client.images.fromRegistry("nowhere/nothing:1").build(app)).rejects.toThrow(/Image build for im-.* failed/);
  });
});

describe("snapshots", () => {
  it("keep the environment and workdir of the image, not the sandbox's secrets", async () => {
    const image = await base().dockerfileCommands(["ENV KEPT=yes", "WORKDIR /root/place"]).build(app);
    const sandbox = await client.sandboxes.create(app, image, { env: { SECRET: "no" } });
    const snapshot = await sandbox.snapshotFilesystem();
    await sandbox.terminate();
    expect(await run(snapshot, 'echo "$KEPT <$SECRET> $(basename "$(pwd)")"')).toBe("yes <> place\n");
  });

  it("are made once when the answer was lost", async () => {
    const sandbox = await client.sandboxes.create(app, base());
    const count = async () =>
      ((await (await fetch(`${harness.emulator.adminUrl}/images`)).json()) as { images: unknown[] }).images.length;
    const before = await count();
    await harness.fault({ method: "TaskSnapshotFilesystem", kind: "error", code: "UNAVAILABLE", when: "after" });
    await sandbox.snapshotFilesystem();
    expect(await count()).toBe(before + 1);
    await sandbox.terminate();
  });

  it("expire, and are then not found", async () => {
    const sandbox = await client.sandboxes.create(app, base());
    const [short, forever] = [
      await sandbox.snapshotFilesystem({ ttlMs: 60_000 }),
      await sandbox.snapshotFilesystem({ ttlMs: null }),
    ];
    await sandbox.terminate();
    expect((await client.images.fromId(short.imageId)).imageId).toBe(short.imageId);
    now += 61_000;
    await expect(client.images.fromId(short.imageId)).rejects.toMatchObject({ name: "NotFoundError" });
    await expect(client.sandboxes.create(app, short)).rejects.toMatchObject({ name: "ClientError", code: 5 });
    expect((await client.images.fromId(forever.imageId)).imageId).toBe(forever.imageId);
  });
});

describe("images", () => {
  it("are deleted once", async () => {
    const image = await base().dockerfileCommands(["RUN touch /root/deleted"]).build(app);
    await client.images.delete(image.imageId);
    await expect(client.images.fromId(image.imageId)).rejects.toMatchObject({ name: "NotFoundError" });
    await expect(client.images.delete(image.imageId)).rejects.toMatchObject({ name: "NotFoundError" });
    const again = await base().dockerfileCommands(["RUN touch /root/deleted"]).build(app);
    expect(again.imageId).not.toBe(image.imageId);
  });

  it("leave a parent, a child and a running sandbox intact when they are deleted", async () => {
    const parent = await base().dockerfileCommands(["ENV FROM=parent", "RUN echo p > /root/parent"]).build(app);
    const renamed = await client.images.fromId(parent.imageId);
    const child = await renamed.dockerfileCommands(["ENV ONLY=env"]).build(app);
    const sandbox = await client.sandboxes.create(app, parent);
    await client.images.delete(parent.imageId);
    expect(await run(child, "cat /root/parent; echo $ONLY")).toBe("p\nenv\n");
    expect(await (await sandbox.exec(["cat", "/root/parent"])).stdout.readText()).toBe("p\n");
    expect(await run(await sandbox.snapshotFilesystem(), "cat /root/parent; echo $FROM")).toBe("p\nparent\n");
    await sandbox.terminate();
  });

  it("are found by the name they were published under", async () => {
    const image = await base().build(app);
    await image.publish("tool:v1");
    expect((await client.images.fromName("tool:v1")).imageId).toBe(image.imageId);
    await expect(client.images.fromName("tool:v2")).rejects.toMatchObject({ name: "NotFoundError" });
  });

  it("survive a restart with their metadata, while sandboxes do not", async () => {
    const built = await base().dockerfileCommands(["ENV A=1", "RUN echo built > /root/f"]).build(app);
    const sandbox = await client.sandboxes.create(app, built, { name: "mortal" });
    const snapshot = await sandbox.snapshotFilesystem({ ttlMs: 60_000 });
    await built.publish("kept:1");
    await harness.restart();
    // the same client: its connection and its token outlive the server
    expect((await client.apps.fromName("images")).appId).toBe(app.appId);
    expect(await run(await client.images.fromId(snapshot.imageId), "cat /root/f; echo $A")).toBe("built\n1\n");
    expect((await client.images.fromName("kept:1")).imageId).toBe(built.imageId);
    const rebuilt = await base().dockerfileCommands(["ENV A=1", "RUN echo built > /root/f"]).build(app);
    expect(rebuilt.imageId).toBe(built.imageId);
    await expect(client.sandboxes.fromName("images", "mortal")).rejects.toMatchObject({ name: "NotFoundError" });
    now += 61_000;
    await expect(client.images.fromId(snapshot.imageId)).rejects.toMatchObject({ name: "NotFoundError" });
  });
});
