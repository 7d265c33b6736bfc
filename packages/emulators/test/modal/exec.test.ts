import { createHash } from "node:crypto";
import { type App, type ModalClient, type Sandbox } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { baseTag, connectTo, type Harness, startHarness } from "./harness.ts";
import { type CuttableProxy, startProxy } from "./proxy.ts";

const mebibyte = 1024 * 1024;
/** More than what is read back as a whole, less than what is not. */
const keptOutputBytes = 24 * mebibyte;

let harness: Harness;
let proxy: CuttableProxy;
let client: ModalClient;
let app: App;
let sandbox: Sandbox;

beforeAll(async () => {
  proxy = await startProxy();
  harness = await startHarness({ routerUrl: `https://127.0.0.1:${proxy.port}`, keptOutputBytes });
  proxy.aim(Number(new URL(harness.emulator.url).port));
  client = connectTo(`http://127.0.0.1:${proxy.port}`);
  app = await client.apps.fromName("exec", { createIfMissing: true });
  sandbox = await client.sandboxes.create(app, client.images.fromRegistry(baseTag));
});
afterAll(async () => {
  await harness.stop();
  await proxy.close();
});

const sh = (script: string, options = {}) => sandbox.exec(["sh", "-c", script], options);

describe("exec", () => {
  it("streams output while the process runs", async () => {
    const process = await sh("echo first; read go; echo second");
    const reader = process.stdout.getReader();
    expect((await reader.read()).value).toBe("first\n");
    await process.stdin.getWriter().write("go\n");
    expect((await reader.read()).value).toBe("second\n");
    expect((await reader.read()).done).toBe(true);
  });

  it("hands stdin over in order and closes it", async () => {
    const process = await sandbox.exec(["cat"]);
    const writer = process.stdin.getWriter();
    for (const part of ["one ", "two ", "three"]) await writer.write(part);
    await writer.close();
    expect(await process.stdout.readText()).toBe("one two three");
    expect(await process.wait()).toBe(0);
  });

  it("keeps 20 MB of binary output exactly", async () => {
    const bytes = 20 * mebibyte;
    const script = `const b=Buffer.alloc(65536);for(let i=0;i<65536;i++)b[i]=i*7;let n=${bytes}/65536;(function w(){while(n-->0)if(!process.stdout.write(b))return process.stdout.once("drain",w)})()`;
    const process = await sandbox.exec(["node", "-e", script], { mode: "binary" });
    expect(await process.wait()).toBe(0);
    const output = await process.stdout.readBytes();
    const block = Buffer.alloc(65536).map((_value, index) => index * 7);
    const expected = createHash("sha256");
    for (let at = 0; at < bytes; at += block.length) expected.update(block);
    expect(output.length).toBe(bytes);
    expect(createHash("sha256").update(output).digest("hex")).toBe(expected.digest("hex"));
  });

  it("says so when output is asked for that is no longer kept", async () => {
    const process = await sh(`head -c ${keptOutputBytes + 4 * mebibyte} /dev/zero`, { mode: "binary" });
    expect(await process.wait()).toBe(0);
    await expect(process.stdout.readBytes()).rejects.toThrow(/gone: \d+ bytes are kept/);
  });

  it("loses nothing when the connection is cut in the middle of the output", async () => {
    const script = 'let i = 0; const t = setInterval(() => { console.log("line", ++i); if (i === 300) clearInterval(t); }, 5)';
    const process = await sandbox.exec(["node", "-e", script]);
    let cuts = 0;
    const cutter = setInterval(() => {
      if (proxy.cut() > 0) cuts += 1;
    }, 400);
    let text = "";
    try {
      for await (const chunk of process.stdout) text += chunk;
    } finally {
      clearInterval(cutter);
    }
    expect(cuts).toBeGreaterThan(1);
    expect(text).toBe(Array.from({ length: 300 }, (_each, index) => `line ${index + 1}\n`).join(""));
  });

  it("kills at the time limit with 137", async () => {
    const process = await sh("sleep 30", { timeoutMs: 1000 });
    expect(await process.wait()).toBe(137);
  });

  it("answers 127 for a program that is not there", async () => {
    const process = await sandbox.exec(["no-such-program"]);
    expect(await process.wait()).toBe(127);
  });

  it("discards what is to be ignored", async () => {
    const process = await sh("echo out; echo err >&2", { stdout: "ignore" });
    expect([await process.stdout.readText(), await process.stderr.readText()]).toEqual(["", "err\n"]);
  });

  it("runs many at once", async () => {
    const outputs = await Promise.all(
      Array.from({ length: 10 }, async (_each, index) => (await sh(`echo ${index}`)).stdout.readText()),
    );
    expect(outputs).toEqual(Array.from({ length: 10 }, (_each, index) => `${index}\n`));
  });

  it("starts a process once when the answer to its start was lost", async () => {
    await harness.fault({ method: "TaskExecStart", kind: "error", code: "UNAVAILABLE", when: "after" });
    const process = await sh("echo started >> /root/starts; cat /root/starts");
    expect(await process.stdout.readText()).toBe("started\n");
  });
});

describe("the filesystem calls", () => {
  it("write, read, list, describe and remove", async () => {
    const { filesystem } = sandbox;
    await filesystem.writeText("héllo", "/root/a/b/text");
    expect(await filesystem.readText("/root/a/b/text")).toBe("héllo");
    await filesystem.writeText("new", "/root/a/b/text");
    expect(await filesystem.readText("/root/a/b/text")).toBe("new");
    const bytes = Buffer.alloc(1_000_000, "x");
    await filesystem.writeBytes(bytes, "/root/a/big");
    expect(Buffer.from(await filesystem.readBytes("/root/a/big")).equals(bytes)).toBe(true);
    await (await sh("ln -s b/text '/root/a/it'\\''s a link'")).wait();
    const list = await filesystem.listFiles("/root/a");
    expect(list.map(({ name, type, symlinkTarget }) => [name, type, symlinkTarget])).toEqual([
      ["b", "directory", null],
      ["big", "file", null],
      ["it's a link", "symlink", "b/text"],
    ]);
    expect(list[1]).toMatchObject({ path: "/root/a/big", size: 1_000_000 });
    expect(await filesystem.stat("/root/a/b/text")).toMatchObject({
      name: "text",
      path: "/root/a/b/text",
      size: 3,
      type: "file",
    });
    await filesystem.makeDirectory("/root/a/c/d");
    await filesystem.remove("/root/a", { recursive: true });
    await expect(filesystem.stat("/root/a")).rejects.toMatchObject({ name: "SandboxFilesystemNotFoundError" });
  });

  it.each([
    ["SandboxFilesystemNotFoundError", () => sandbox.filesystem.readText("/nowhere/file")],
    ["SandboxFilesystemIsADirectoryError", () => sandbox.filesystem.readText("/tmp")],
    ["SandboxFilesystemNotADirectoryError", () => sandbox.filesystem.listFiles("/usr/bin/env")],
    ["SandboxFilesystemNotADirectoryError", () => sandbox.filesystem.writeText("x", "/usr/bin/env/x")],
    ["SandboxFilesystemIsADirectoryError", () => sandbox.filesystem.writeText("x", "/tmp")],
    ["SandboxFilesystemPathAlreadyExistsError", () => sandbox.filesystem.makeDirectory("/tmp", { createParents: false })],
    ["SandboxFilesystemNotFoundError", () => sandbox.filesystem.makeDirectory("/no/where", { createParents: false })],
    ["SandboxFilesystemNotFoundError", () => sandbox.filesystem.remove("/nowhere")],
    ["SandboxFilesystemDirectoryNotEmptyError", () => sandbox.filesystem.remove("/usr")],
  ])("end in %s", async (name, call) => {
    await expect(call()).rejects.toMatchObject({ name });
  });
});
