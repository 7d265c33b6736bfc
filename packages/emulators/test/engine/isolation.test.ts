import { readlinkSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Guest } from "../../src/modal/engine/engine.ts";
import { hasBubblewrap, hasNamespaces, ok, openEngine, openNetwork, shell, type TestEngine } from "./harness.ts";

const listen = async (text: string): Promise<{ server: Server; port: number }> => {
  const server = createServer((_request, answer) => answer.end(text));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as AddressInfo).port };
};

describe.skipIf(!hasNamespaces)("what a guest can reach", () => {
  let test: TestEngine;
  let guest: Guest;
  let forwarded: { server: Server; port: number };
  let hidden: { server: Server; port: number };
  beforeAll(async () => {
    forwarded = await listen("forwarded");
    hidden = await listen("hidden");
    process.env.OI_TEST_HOST_SECRET = "host-secret";
    test = await openEngine({ forwardedPorts: [forwarded.port], privateEgressCidrs: [] });
    guest = await test.guest({ network: openNetwork });
  });
  afterAll(async () => {
    delete process.env.OI_TEST_HOST_SECRET;
    await test.close();
    forwarded.server.close();
    hidden.server.close();
  });
  const get = (port: number, options = "") => shell(guest, `curl -sS -m 5 ${options} http://127.0.0.1:${port}/`);

  it("a forwarded port of the host answers at the same address", async () => {
    expect((await get(forwarded.port)).stdout).toBe("forwarded");
  });

  it("another loopback port of the host does not answer", async () => {
    const { code, stdout } = await get(hidden.port);
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
  });

  it("the proxy does not lead to the host's loopback either, by address or by name", async () => {
    for (const host of ["127.0.0.1", "localhost", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]) {
      const { stdout } = await shell(guest, `curl -sS -m 5 --noproxy '' -x http://127.0.0.1:3128 http://${host}:${hidden.port}/`);
      expect(stdout, host).not.toContain("hidden");
      const tunnel = await shell(guest, `curl -sS -m 5 --noproxy '' -p -x http://127.0.0.1:3128 http://${host}:${hidden.port}/`);
      expect(tunnel.stdout, host).not.toContain("hidden");
      expect(tunnel.code, host).not.toBe(0);
    }
  });

  it("there is no route out beside the proxy", async () => {
    expect((await shell(guest, "curl -sS -m 2 --noproxy '*' http://1.1.1.1/")).code).not.toBe(0);
    expect((await ok(guest, "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' \n'")).trim()).toBe("lo");
  });

  it("the host's home, working directory, state and temporary files are absent", async () => {
    const { stdout } = await shell(
      guest,
      `ls -d ${process.cwd()} ${test.stateDir} /etc/shadow /sys/kernel /boot /root/.ssh 2>/dev/null`,
    );
    expect(stdout).toBe("");
    expect(await ok(guest, "ls -A /root /tmp")).toBe("/root:\n\n/tmp:\n");
  });

  it("the host's environment is in no process of the guest", async () => {
    const { stdout } = await shell(guest, "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'");
    expect(stdout).toContain("PATH=");
    expect(stdout).not.toContain("host-secret");
  });

  it("only the guest's own processes are visible", async () => {
    const pids = (await ok(guest, "ls /proc | grep -E '^[0-9]+$' | wc -l")).trim();
    expect(Number(pids)).toBeLessThan(20);
  });

  it("namespaces are the guest's own", async () => {
    const names = ["pid", "mnt", "ipc", "uts", "net", "user"];
    const inside = await ok(guest, `readlink ${names.map((name) => `/proc/self/ns/${name}`).join(" ")}`);
    const outside = names.map((name) => readlinkSync(`/proc/self/ns/${name}`));
    for (const each of outside) expect(inside).not.toContain(each);
  });

  it.for([
    ["mount", "mount -t tmpfs none /mnt"],
    ["remount of the host's files", "mount -o remount,bind,rw /usr"],
    ["a write to the host's files", "touch /usr/bin/oi-test"],
    ["a new user namespace", "unshare --user true"],
    ["a new mount namespace", "unshare --mount true"],
    ["a device", "mknod /tmp/disk b 8 0"],
    ["the clock", "date -s 2001-01-01"],
    ["a setting of the kernel", "echo 1 > /proc/sys/kernel/panic"],
    ["a chroot escape through PID 1", "ls /proc/1/root/mnt/guest /proc/1/cwd/sandboxes"],
    ["a raw socket", "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'"],
    ["the kernel's log", "dmesg"],
  ] as const)("%s is denied", async ([, command]) => {
    expect((await shell(guest, command)).code).not.toBe(0);
  });

  it.skipIf(!hasBubblewrap)("no new privileges, a seccomp filter, and few capabilities", async () => {
    const status = await ok(guest, "cat /proc/self/status");
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    const effective = Number.parseInt(/^CapEff:\s+(\w+)$/m.exec(status)?.[1] ?? "", 16);
    const adminBit = 21;
    expect(Math.floor(effective / 2 ** adminBit) % 2).toBe(0);
  });

  it.skipIf(!hasBubblewrap)("sockets that no namespace confines are refused", async () => {
    const { stdout } = await shell(
      guest,
      "python3 -c 'import socket\nfor f in (40, 38):\n  try: socket.socket(f, socket.SOCK_STREAM); print(\"open\")\n  except OSError as e: print(e.errno)'",
    );
    expect(stdout).toBe("97\n97\n");
  });

  it("no open file of the host's processes is handed in", async () => {
    const links = await ok(guest, "for p in /proc/[0-9]*/fd/*; do readlink $p || :; done");
    expect(links).not.toContain(test.stateDir);
    expect(links).not.toContain(process.cwd());
    const fds = await ok(guest, "ls /proc/self/fd/ | tr '\\n' ' '");
    for (const fd of fds.trim().split(" ").map(Number)) {
      if (fd > 2)
        expect(["/dev/null", ""], `descriptor ${fd}`).toContain(
          (await shell(guest, `readlink /proc/self/fd/${fd}`)).stdout.trim().replace(/^\/proc.*/, ""),
        );
    }
  });

  it("two guests do not see each other's files or processes", async () => {
    const other = await test.guest({ network: openNetwork });
    await ok(guest, "echo mine > /workspace/mine; sleep 77.5 > /dev/null 2>&1 &");
    expect((await shell(other, "cat /workspace/mine")).code).not.toBe(0);
    expect((await shell(other, "pgrep -f '^sleep 77.5'")).code).toBe(1);
    await other.kill();
  });

  it("the guest's root is not the host's", async () => {
    await ok(guest, "touch /workspace/owned");
    const { uid } = statSync(`/proc/self`);
    const inside = await ok(guest, "cat /proc/self/uid_map");
    if (uid === 0) expect(inside.trim().split(/\s+/)[1]).not.toBe("0");
  });

  it("an agent socket that the guest replaces by a link leads nowhere", async () => {
    const other = await test.guest();
    await ok(other, "rm /run/ctl/agent.sock; ln -s /run/net/x /run/ctl/agent.sock");
    expect(await ok(other, "echo still the agent")).toBe("still the agent\n");
    await other.kill();
  });

  it("what is meant to be writable is", async () => {
    await ok(
      guest,
      "for d in /workspace /home/agent /tmp /run /opt /opt/openinspect /etc /var/lib; do mkdir -p $d && touch $d/probe; done",
    );
    expect((await shell(guest, "touch /opt/tools/bin/x")).code).not.toBe(0);
  });

  it("the tools of the options come first, and npm finds its own files", async () => {
    expect(await ok(guest, "command -v node")).toBe("/opt/tools/bin/node\n");
    expect((await ok(guest, "node -v")).trim()).toBe(process.version);
    expect(await ok(guest, "npm -v")).toMatch(/^\d+\./);
  });

  it("another user of the guest can use the tools", async () => {
    expect((await ok(guest, "setpriv --reuid 1000 --regid 1000 --clear-groups node -p 'process.getuid()'")).trim()).toBe("1000");
  });
});
