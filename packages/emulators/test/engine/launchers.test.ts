import { execFile } from "node:child_process";
import { accessSync, chownSync, constants, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { hasBubblewrap, hasNamespaces, isRoot, newStateDir, programEnv, removeStateDir } from "./harness.ts";

const run = promisify(execFile);
const NOBODY = 65534;
const hasPerl = existsSync("/usr/bin/perl");

/** Everybody may walk to this file: the engine can be started from here as another user. */
const isOpenToAll = (() => {
  for (let path = import.meta.dirname; path !== "/"; path = join(path, "..")) {
    if ((statSync(path).mode & 0o005) !== 0o005) return false;
  }
  accessSync(process.execPath, constants.X_OK);
  return true;
})();

interface Tour {
  who: string[];
  status: string;
  third: string;
  denied: string;
  zombies: string;
  detail: { isolation: string; detail: string };
}

/** What the child answers to a scenario that it plays as a user; null: as the one who runs the tests. */
async function play<Answer>(scenario: string, uid: number | null, ...args: string[]): Promise<Answer> {
  return playBehind([], scenario, uid, ...args);
}

/** @param prefix starts the child's command */
async function playBehind<Answer>(prefix: string[], scenario: string, uid: number | null, ...args: string[]): Promise<Answer> {
  const stateDir = newStateDir();
  if (uid !== null) chownSync(stateDir, uid, uid);
  const command = [process.execPath, join(import.meta.dirname, "engine-child.ts"), scenario, stateDir, ...args];
  const user = uid === null ? [] : ["setpriv", "--reuid", String(uid), "--regid", String(uid), "--clear-groups"];
  const [program = "", ...rest] = [...prefix, ...user, ...command];
  try {
    const { stdout } = await run(program, rest, { env: programEnv, timeout: 50_000, killSignal: "SIGKILL" });
    return JSON.parse(stdout);
  } finally {
    removeStateDir(stateDir);
  }
}

const tour = (options: { uid: number | null; launcher: "bwrap" | "unshare" }) =>
  play<Tour>("tour", options.uid, options.launcher);

function expectSame(seen: Tour): void {
  expect(seen.who).toEqual(["0", expect.stringMatching(/^test-/)]);
  expect(seen.status).toBe("1\nR  src/deep/a -> moved/deep/a\nrepo\n");
  expect(seen.third).toBe("R  src/deep/a -> third/deep/a\n1\n");
  expect(seen.denied).toBe("mount\nunshare\nusr\n0\n");
  expect(seen.zombies).toBe("0");
  expect(seen.detail.isolation).toBe("namespaces");
}

describe.skipIf(!hasNamespaces)("the same guest, however it is started", () => {
  it.skipIf(!isRoot)("util-linux alone, as root", async () => {
    const seen = await tour({ uid: null, launcher: "unshare" });
    expectSame(seen);
    expect(seen.detail.detail).toContain("util-linux");
    expect(seen.detail.detail).toContain("seccomp: on");
  });

  it.skipIf(!hasBubblewrap || (isRoot && !isOpenToAll))("bubblewrap, without privileges", async () => {
    const seen = await tour({ uid: isRoot ? NOBODY : null, launcher: "bwrap" });
    expectSame(seen);
    expect(seen.detail.detail).toMatch(/users: (single|subuid)/);
  });

  it.skipIf(isRoot && !isOpenToAll)("util-linux alone, without privileges", async () => {
    expectSame(await tour({ uid: isRoot ? NOBODY : null, launcher: "unshare" }));
  });

  it.skipIf(!isRoot || !isOpenToAll)("a user with one id is told why there is no Debian for it, and what helps", async () => {
    const seen = await play<{ refusal: string; detail: string }>("debian", NOBODY);
    expect(seen.detail).toContain("users: single");
    expect(seen.refusal).toMatch(/files of several users .* \/etc\/subuid/);
  });

  interface Rights {
    rights: string;
    detail: { isolation: string; detail: string };
  }

  it.skipIf(!hasBubblewrap || !hasPerl)(
    "util-linux takes the same rights away as bubblewrap, and the same system calls",
    async () => {
      const [plain, usual] = await Promise.all([play<Rights>("rights", null, "unshare"), play<Rights>("rights", null, "bwrap")]);
      expect(plain.rights).toContain("Seccomp:\t2");
      const lasting = (rights: string) => rights.split("\n").filter((line) => /^(CapEff|CapPrm|NoNewPrivs|Seccomp)/.test(line));
      expect(lasting(plain.rights)).toEqual(lasting(usual.rights));
      expect(plain.detail.isolation).toBe("namespaces");
    },
  );

  it.skipIf(!isRoot)("where nothing can load a seccomp program the engine says so", async () => {
    const hidePerl = [
      "unshare",
      "-m",
      "--propagation",
      "private",
      "sh",
      "-c",
      'mount --bind /dev/null /usr/bin/perl; exec "$@"',
      "sh",
    ];
    const seen = await playBehind<Rights>(hidePerl, "rights", null, "unshare");
    expect(seen.rights).toContain("Seccomp:\t0");
    expect(seen.detail.isolation).toBe("namespaces, no seccomp");
  });
});
