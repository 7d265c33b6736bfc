import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Guest } from "../../src/modal/engine/engine.ts";
import { candidateMappings } from "../../src/modal/engine/user-mapping.ts";
import { hasNamespaces, ok, openEngine, openNetwork, removeStateDir, shell, type TestEngine } from "./harness.ts";

const MINUTES = 60_000;
/** root, or a user with subordinate ids */
const hasSeveralIds = (candidateMappings()[0]?.idCount ?? 0) > 1;

/** Processes whose command line names a directory. */
const processesOf = (dir: string) =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(dir);
    } catch {
      return false;
    }
  });

// Needs a Debian mirror and a registry: for a person or a nightly run.
describe.skipIf(!hasNamespaces || process.env.OPEN_INSPECT_SLOW_TESTS !== "1")("with the internet", () => {
  let test: TestEngine;
  beforeAll(async () => {
    test = await openEngine();
  });
  afterAll(() => test.close());

  it.skipIf(!hasSeveralIds)("a root that is being made when the engine closes leaves no file, mount or process", async () => {
    const closed = await openEngine();
    const bases = join(closed.stateDir, "bases");
    const refusal = closed.engine.filesystemFromTag("debian:bookworm-slim").catch((error: Error) => error.message);
    await vi.waitFor(() => expect(processesOf(bases)).not.toEqual([]), { timeout: 10_000 });
    await closed.engine.close();
    expect(await refusal).toContain("given up");
    expect(readdirSync(bases)).toEqual([]);
    expect(processesOf(bases)).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(bases);
    removeStateDir(closed.stateDir);
  });

  describe.skipIf(!hasSeveralIds)("debian:bookworm-slim", () => {
    let guest: Guest;
    beforeAll(async () => {
      const filesystem = await test.engine.filesystemFromTag("debian:bookworm-slim");
      guest = await test.guest({ filesystem, network: openNetwork });
    }, 10 * MINUTES);

    it("is a Debian of its own, whose files belong to the guest's root", async () => {
      expect(await ok(guest, "cat /etc/debian_version; stat -c %u /usr/bin/apt-get; touch /usr/own; ls /opt")).toMatch(
        /^12\.\d+\n0\n$/,
      );
    });

    it("apt-get installs packages, with users of their own, through the proxy", { timeout: 5 * MINUTES }, async () => {
      await ok(
        guest,
        "apt-get update -qq && apt-get install -y -qq --no-install-recommends jq openssh-client ca-certificates > /dev/null",
        { timeoutMs: 4 * MINUTES },
      );
      expect(await ok(guest, "echo '{\"a\":1}' | jq .a; stat -c '%G %A' /usr/bin/ssh-agent")).toBe("1\n_ssh -rwxr-sr-x\n");
    });

    it("what was installed is in the snapshot, and a second import is immediate", { timeout: MINUTES }, async () => {
      const id = await test.engine.snapshot(guest.id);
      await guest.kill();
      const restored = await test.guest({ filesystem: id });
      expect(await ok(restored, "echo '{\"a\":2}' | jq .a")).toBe("2\n");
      const begun = performance.now();
      await test.engine.filesystemFromTag("debian:bookworm-slim");
      expect(performance.now() - begun).toBeLessThan(50);
      await restored.kill();
    });
  });

  it("npm ci works in a guest of the host's toolchain, against the real registry", { timeout: 3 * MINUTES }, async () => {
    const guest = await test.guest({ network: { ...openNetwork, outboundDomainAllowlist: ["registry.npmjs.org"] } });
    await ok(
      guest,
      "mkdir /workspace/p && cd /workspace/p && npm init -y > /dev/null && npm install --no-audit --no-fund is-odd@3.0.1 > /dev/null && rm -rf node_modules && npm ci --no-audit --no-fund",
      {
        timeoutMs: 2 * MINUTES,
      },
    );
    expect(await ok(guest, "cd /workspace/p && node -p 'require(\"is-odd\")(3)'")).toBe("true\n");
    expect(await ok(guest, "node -e 'fetch(\"https://registry.npmjs.org/is-odd\").then((r) => console.log(r.status))'")).toBe(
      "200\n",
    );
    expect((await shell(guest, "curl -sS -m 20 https://example.com/")).code).not.toBe(0);
    await guest.kill();
  });
});
