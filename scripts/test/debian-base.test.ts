/**
 * The whole flow on a real Debian root: the emulated Modal makes `debian:bookworm-slim` with mmdebstrap, the gateway runs the base
 * definition's apt and npm lines in it. Needs a Debian mirror and the npm registry, so it is for a person or a nightly run.
 */
import { type ModalClient } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { untilImageOf, untilReady } from "../api.ts";
import { modalClientFor } from "../witness.ts";
import { startTestSystem, type TestSystem } from "./support.ts";

const minuteMs = 60_000;
/** mmdebstrap, apt and npm, on a slow line */
const baseDeadlineMs = 15 * minuteMs;
const repository = "acme/notes-api";

describe.skipIf(process.platform !== "linux" || process.env.OPEN_INSPECT_SLOW_TESTS !== "1")("a Debian root as the base", () => {
  let running: TestSystem;
  let modal: ModalClient;
  let cold: string;

  beforeAll(async () => {
    running = await startTestSystem({ base: "debian" });
    modal = modalClientFor(running.system);
  }, 3 * minuteMs);
  afterAll(async () => {
    modal?.close();
    await running?.close();
  });

  const head = async () => (await running.api.branches(repository)).branches[0]?.sha ?? "";

  /** Runs a line of shell in a session's sandbox, as somebody beside the product would. */
  async function inSandbox(sessionId: string, script: string): Promise<string> {
    const sandbox = await modal.sandboxes.fromName("open-inspect", `session-${sessionId}`);
    const process = await sandbox.exec(["/bin/sh", "-c", script], { timeoutMs: minuteMs });
    const [output, errors, code] = await Promise.all([process.stdout.readText(), process.stderr.readText(), process.wait()]);
    if (code !== 0) throw new Error(`${script} ended with code ${code}: ${output}${errors}`);
    return output.trim();
  }

  it("a session that is asked for while the base is being built waits for it and starts cold", {
    timeout: baseDeadlineMs,
  }, async () => {
    const session = await untilReady(running.api, (await running.api.startSession({ repository })).id, baseDeadlineMs);
    cold = session.id;
    expect(session).toMatchObject({ syncedSha: await head(), setupRanInSession: true, receipt: { startedFrom: "base" } });
    expect(await running.witness.head(cold)).toBe(await head());
    expect(await running.witness.hasFile(cold, "dist/manifest.json")).toBe(true);
  });

  it.each([
    ["tini", "tini --version", /^tini version 0\.19/, "/usr/bin/tini"],
    ["node", "node --version", /^v22\./, "/usr/local/bin/node"],
    ["npm", "npm --version", /^10\./, "/usr/local/bin/npm"],
    ["git", "git --version", /^git version 2\.39/, "/usr/bin/git"],
    ["rg", "rg --version", /^ripgrep 13\./, "/usr/bin/rg"],
    ["opencode", "opencode --version", /^1\.18\.33$/, "/usr/local/bin/opencode"],
    ["pnpm", "pnpm --version", /^10\.34\.9$/, "/usr/local/bin/pnpm"],
    ["bun", "bun --version", /^1\.3\.9$/, "/usr/local/bin/bun"],
  ])("%s is the base definition's own, not the host's", async (program, command, version, path) => {
    expect(await inSandbox(cold, `command -v ${program}`)).toBe(path);
    expect(await inSandbox(cold, command)).toMatch(version);
  });

  it("nothing of the host's toolchain is in the sandbox, and the runtime runs under Debian's tini", async () => {
    expect(await inSandbox(cold, "cat /etc/debian_version; ls -d /opt/tools 2>/dev/null || echo no tools")).toMatch(
      /^12\.\d+\nno tools$/,
    );
    expect(await inSandbox(cold, "ps -C tini -o args=")).toMatch(/^tini -s -- node .*\/opt\/openinspect\/runtime\.mjs$/);
    for (const place of ["/home/agent", "/workspace/repo", "/run/openinspect"])
      expect(await inSandbox(cold, `stat -c '%F %U' ${place}`)).toBe("directory root");
  });

  it("node, npm and curl reach the registry over the authorities that the host trusts", { timeout: 2 * minuteMs }, async () => {
    const url = "https://registry.npmjs.org/is-odd";
    expect(await inSandbox(cold, "cd /tmp && npm view is-odd@3.0.1 version")).toBe("3.0.1");
    expect(await inSandbox(cold, `node -e 'fetch("${url}").then((answer) => console.log(answer.status))'`)).toBe("200");
    expect(await inSandbox(cold, `curl -sS -o /dev/null -w '%{http_code}' ${url}`)).toBe("200");
  });

  it("an image is built on it, and a session from the image does not run setup again", { timeout: 5 * minuteMs }, async () => {
    await running.api.stopSession(cold);
    await running.api.setImage(repository, true);
    const { active } = await untilImageOf(running.api, repository, await head(), 3 * minuteMs);
    const { id } = await running.api.startSession({ repository });
    const session = await untilReady(running.api, id, minuteMs);
    expect(session).toMatchObject({
      bakedSha: active.sha,
      syncedSha: await head(),
      setupRanInSession: false,
      receipt: { startedFrom: "image" },
    });
    expect(await running.witness.setupRuns(id)).toBe(1);
    expect(await running.witness.hasFile(id, "dist/manifest.json")).toBe(true);
    expect(await inSandbox(id, "cat /etc/debian_version")).toMatch(/^12\.\d+$/);
    await running.api.stopSession(id);
    await running.api.setImage(repository, false);
    await running.untilNoSandboxes();
  });
});
