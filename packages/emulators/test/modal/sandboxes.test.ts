import { join } from "node:path";
import { type App, type ModalClient } from "modal";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { loadModalDefinitions } from "../../src/modal/definitions.ts";
import { startModalEmulator } from "../../src/modal/modal.ts";
import { toMethod } from "../../src/modal/rpc.ts";
import { baseTag, collect, type Harness, startHarness } from "./harness.ts";

let harness: Harness;
let client: ModalClient;
let app: App;

beforeAll(async () => {
  harness = await startHarness();
  client = harness.connect();
  app = await client.apps.fromName("contract", { createIfMissing: true });
});
afterAll(() => harness.stop());

const base = () => client.images.fromRegistry(baseTag);

describe("the installed SDK", () => {
  it("is the version that the emulator was written for", () => {
    expect(client.version()).toBe("0.11.1");
  });

  it("holds both service definitions", () => {
    const { control, router } = loadModalDefinitions();
    expect([control.fullName, router.fullName]).toEqual([
      "modal.client.ModalClient",
      "modal.task_command_router.TaskCommandRouter",
    ]);
    expect(Object.keys(control.methods).length).toBeGreaterThan(200);
  });
});

describe("access", () => {
  const anyPair = { "x-modal-token-id": "ak-1", "x-modal-token-secret": "as-1" };

  async function call(key: "authTokenGet" | "appGetOrCreate", headers: Record<string, string>, url = harness.emulator.url) {
    const { control } = loadModalDefinitions();
    const method = control.methods[key];
    if (!method) throw new Error(`no method ${key}`);
    const channel = createChannel(url.replace("http://", ""));
    try {
      const raw = createClient({ [key]: toMethod(control, method, false, false) }, channel);
      return await raw[key]?.({ appName: "raw", objectCreationType: 1 }, { metadata: Metadata(headers) });
    } finally {
      channel.close();
    }
  }

  it("needs a token id and a token secret", async () => {
    await expect(call("authTokenGet", {})).rejects.toMatchObject({ code: 16 });
    await expect(call("authTokenGet", { "x-modal-token-id": "ak-1" })).rejects.toMatchObject({ code: 16 });
  });

  it("needs the token that AuthTokenGet gave, and no other", async () => {
    const answer = z.object({ token: z.string() }).parse(await call("authTokenGet", anyPair));
    await expect(call("appGetOrCreate", anyPair)).rejects.toMatchObject({ code: 16 });
    const forged = answer.token.replace(/.$/, (last) => (last === "A" ? "Q" : "A"));
    await expect(call("appGetOrCreate", { ...anyPair, "x-modal-auth-token": forged })).rejects.toMatchObject({ code: 16 });
    await expect(call("appGetOrCreate", { ...anyPair, "x-modal-auth-token": answer.token })).resolves.toMatchObject({
      appId: expect.stringMatching(/^ap-/),
    });
  });

  it("refuses a wrong pair when a pair is given", async () => {
    const strict = await startModalEmulator({
      engine: harness.engine,
      stateDir: join(harness.stateDir, "strict"),
      credentials: { tokenId: "ak-right", tokenSecret: "as-right" },
    });
    try {
      await expect(call("authTokenGet", anyPair, strict.url)).rejects.toMatchObject({ code: 16 });
      const right = { "x-modal-token-id": "ak-right", "x-modal-token-secret": "as-right" };
      await expect(call("authTokenGet", right, strict.url)).resolves.toMatchObject({ token: expect.any(String) });
    } finally {
      await strict.stop();
    }
  });

  it("lets no sandbox's token reach another sandbox", async () => {
    const [mine, other] = [await client.sandboxes.create(app, base()), await client.sandboxes.create(app, base())];
    const mixed = await client.cpClient.sandboxGetTaskIdV2({ sandboxId: other.sandboxId });
    const { jwt } = await client.cpClient.sandboxGetCommandRouterAccess({ sandboxId: mine.sandboxId });
    const { router } = loadModalDefinitions();
    const method = router.methods.taskExecPoll;
    if (!method) throw new Error("no method");
    const channel = createChannel(harness.emulator.url.replace("http://", ""));
    try {
      const raw = createClient({ poll: toMethod(router, method, false, false) }, channel);
      const metadata = Metadata({ authorization: `Bearer ${jwt}` });
      await expect(raw.poll({ taskId: mixed.taskId, execId: "x" }, { metadata })).rejects.toMatchObject({ code: 7 });
    } finally {
      channel.close();
      await Promise.all([mine.terminate(), other.terminate()]);
    }
  });
});

describe("apps", () => {
  it("are found by name and have one id", async () => {
    expect((await client.apps.fromName("contract")).appId).toBe(app.appId);
    await expect(client.apps.fromName("never-made")).rejects.toMatchObject({ name: "NotFoundError" });
  });
});

describe("sandboxes", () => {
  it("go from a base image over a snapshot to a second sandbox", async () => {
    const sandbox = await client.sandboxes.create(app, base(), { timeoutMs: 60_000 });
    const process = await sandbox.exec(["sh", "-c", "echo out; echo err >&2; echo kept > /root/file; exit 3"]);
    expect([await process.stdout.readText(), await process.stderr.readText(), await process.wait()]).toEqual([
      "out\n",
      "err\n",
      3,
    ]);
    const image = await sandbox.snapshotFilesystem();
    expect(await sandbox.poll()).toBeNull();
    expect(await sandbox.terminate({ wait: true })).toBe(137);
    const second = await client.sandboxes.create(app, await client.images.fromId(image.imageId));
    const cat = await second.exec(["cat", "/root/file"]);
    expect([await cat.stdout.readText(), await cat.wait()]).toEqual(["kept\n", 0]);
    await second.terminate();
  });

  it("hold their name while they run and free it when they end", async () => {
    const first = await client.sandboxes.create(app, base(), { name: "only-one" });
    await expect(client.sandboxes.create(app, base(), { name: "only-one" })).rejects.toMatchObject({
      name: "AlreadyExistsError",
    });
    expect((await client.sandboxes.fromName("contract", "only-one")).sandboxId).toBe(first.sandboxId);
    await first.terminate();
    await expect(client.sandboxes.fromName("contract", "only-one")).rejects.toMatchObject({ name: "NotFoundError" });
    const ended = await client.sandboxes.fromName("contract", "only-one", { includeTerminated: true });
    expect(ended.sandboxId).toBe(first.sandboxId);
    const second = await client.sandboxes.create(app, base(), { name: "only-one" });
    expect(second.sandboxId).not.toBe(first.sandboxId);
    await second.terminate();
  });

  it("let exactly one of many concurrent creations have a name", async () => {
    const attempts = await Promise.allSettled(
      Array.from({ length: 5 }, () => client.sandboxes.create(app, base(), { name: "contested" })),
    );
    const won = attempts.filter((attempt) => attempt.status === "fulfilled");
    expect(won).toHaveLength(1);
    await won[0]?.value.terminate();
  });

  it("are listed by tag, newest first, to the end of the pages", async () => {
    const other = await client.apps.fromName("lists", { createIfMissing: true });
    const tags = { kind: "listed" };
    const made: string[] = [];
    for (let each = 0; each < 3; each++) {
      made.unshift((await client.sandboxes.create(other, base(), { tags: { ...tags, n: String(each) } })).sandboxId);
    }
    await client.sandboxes.create(other, base());
    const listed = async (filter: object) =>
      (await collect(client.sandboxes.list({ appId: other.appId, ...filter }))).map((sandbox) => sandbox.sandboxId);
    expect(await listed({ tags })).toEqual(made);
    expect(await listed({ tags: { ...tags, n: "1" } })).toEqual([made[1]]);
    expect(await listed({ tags: { kind: "other" } })).toEqual([]);
    expect(await listed({})).toHaveLength(4);
    for (const sandbox of await collect(client.sandboxes.list({ appId: other.appId }))) await sandbox.terminate();
    expect(await listed({})).toEqual([]);
  });

  it("have their tags replaced as a whole", async () => {
    const sandbox = await client.sandboxes.create(app, base(), { tags: { a: "1" } });
    await sandbox.setTags({ b: "2" });
    expect(await (await client.sandboxes.fromId(sandbox.sandboxId)).getTags()).toEqual({ b: "2" });
    await sandbox.terminate();
  });

  it("run their command, show its output and end with its code", async () => {
    const sandbox = await client.sandboxes.create(app, base(), {
      command: ["sh", "-c", 'read line; echo "got $line"; echo warn >&2; exit 4'],
    });
    expect(await sandbox.poll()).toBeNull();
    const writer = sandbox.stdin.getWriter();
    await writer.write("hello\n");
    await writer.close();
    expect(await sandbox.stdout.readText()).toBe("got hello\n");
    expect(await sandbox.stderr.readText()).toBe("warn\n");
    expect(await sandbox.wait()).toBe(4);
  });

  it("see the environment of their secrets and start in their workdir", async () => {
    const secret = await client.secrets.fromObject({ SECRET: "s3" });
    const sandbox = await client.sandboxes.create(app, base(), { env: { PLAIN: "p" }, secrets: [secret], workdir: "/workspace" });
    const process = await sandbox.exec(["sh", "-c", 'echo "$PLAIN $SECRET $EXTRA $(basename "$(pwd)")"'], {
      env: { EXTRA: "e" },
    });
    expect(await process.stdout.readText()).toBe("p s3 e workspace\n");
    await sandbox.terminate();
  });

  it("refuse work after their end with FAILED_PRECONDITION", async () => {
    const sandbox = await client.sandboxes.create(app, base());
    await sandbox.terminate();
    await expect(sandbox.exec(["true"])).rejects.toMatchObject({ name: "ClientError", code: 9 });
    await expect(sandbox.snapshotFilesystem()).rejects.toMatchObject({ name: "ClientError", code: 9 });
    const found = await client.sandboxes.fromId(sandbox.sandboxId);
    await expect(found.exec(["true"])).rejects.toMatchObject({ name: "ClientError", code: 9 });
    expect(await found.terminate({ wait: true })).toBe(137);
  });

  it("that never existed are NOT_FOUND", async () => {
    const missing = await client.sandboxes.fromId("sb-00000000000000000000000000");
    await expect(missing.poll()).rejects.toMatchObject({ name: "ClientError", code: 5 });
  });

  it("are refused for longer than a day", async () => {
    await expect(client.sandboxes.create(app, base(), { timeoutMs: 25 * 3600 * 1000 })).rejects.toMatchObject({ code: 3 });
  });

  it("relay a tunnel to a port inside", async () => {
    const sandbox = await client.sandboxes.create(app, base(), { unencryptedPorts: [8080] });
    const server = `require("net").createServer(s=>s.pipe(s)).listen(8080,"127.0.0.1",()=>console.log("up"))`;
    const process = await sandbox.exec(["node", "-e", server]);
    const up = await process.stdout.getReader().read();
    expect(up.value).toContain("up");
    const tunnel = (await sandbox.tunnels())[8080];
    if (!tunnel) throw new Error("no tunnel");
    const { connect } = await import("node:net");
    const echoed = await new Promise<string>((resolve, reject) => {
      const socket = connect(tunnel.port, "127.0.0.1", () => socket.end("through"));
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes.toString();
      });
      socket.on("end", () => resolve(text));
      socket.on("error", reject);
    });
    expect(echoed).toBe("through");
    await sandbox.terminate();
  });

  it("work for a V1 client as well", async () => {
    const old = harness.connect({ MODAL_SANDBOX_V2: "0" });
    const oldApp = await old.apps.fromName("contract");
    const sandbox = await old.sandboxes.create(oldApp, old.images.fromRegistry(baseTag), {
      name: "old",
      tags: { a: "b" },
      env: { X: "y" },
      command: ["sh", "-c", "echo from V1; sleep 30"],
    });
    expect(sandbox.sandboxId).toMatch(/^sb-[0-9A-Za-z]{22}$/);
    const process = await sandbox.exec(["sh", "-c", "echo $X"]);
    expect([await process.stdout.readText(), await process.wait()]).toEqual(["y\n", 0]);
    expect((await sandbox.stdout.getReader().read()).value).toBe("from V1\n");
    expect((await old.sandboxes.fromName("contract", "old")).sandboxId).toBe(sandbox.sandboxId);
    expect((await collect(old.sandboxes.list({ appId: oldApp.appId, tags: { a: "b" } }))).length).toBe(1);
    expect((await sandbox.snapshotFilesystem()).imageId).toMatch(/^im-/);
    expect(await sandbox.terminate({ wait: true })).toBe(137);
  });
});

describe.concurrent("the limits of a sandbox", () => {
  it("end it with 124 at its time limit", async () => {
    const sandbox = await client.sandboxes.create(app, base(), { timeoutMs: 1000 });
    expect(await sandbox.wait()).toBe(124);
  });

  it("end it when idle, and not while a process runs", async () => {
    const sandbox = await client.sandboxes.create(app, base(), { idleTimeoutMs: 2000 });
    const process = await sandbox.exec(["sleep", "2.5"]);
    expect(await process.wait()).toBe(0);
    expect(await sandbox.poll()).toBeNull();
    expect(await sandbox.wait()).toBe(137);
  });
});
