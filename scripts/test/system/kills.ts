/** kill -9 of the Worker, the gateway and the sandbox in every phase of a real build: every build ends, nothing leaks, and what serves was proved. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuildView } from "../../../packages/protocol/src/index.ts";
import { until, untilImageOf, untilSynced } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { type TestSystem } from "../support.ts";

type Victim = "worker" | "gateway" | "sandbox";
/** Moments of a build; `publishing` begins when the verification's sandbox is gone. */
const moments = ["asked", "provisioning", "connect", "clone", "sync", "setup", "snapshot", "verify", "publishing"] as const;
type Moment = (typeof moments)[number];
interface Kill {
  victims: Victim[];
  moment: Moment;
}

const withSandbox: Moment[] = ["connect", "clone", "sync", "setup", "snapshot", "verify"];
const all: Kill[] = [
  ...moments.map((moment): Kill => ({ victims: ["worker"], moment })),
  ...moments.map((moment): Kill => ({ victims: ["gateway"], moment })),
  ...withSandbox.map((moment): Kill => ({ victims: ["sandbox"], moment })),
  ...(["setup", "snapshot", "verify", "publishing"] as const).map((moment): Kill => ({ victims: ["worker", "gateway"], moment })),
  ...(["setup", "verify"] as const).map((moment): Kill => ({ victims: ["sandbox", "worker"], moment })),
];
const few: Kill[] = [
  { victims: ["worker"], moment: "snapshot" },
  { victims: ["sandbox"], moment: "verify" },
  { victims: ["worker", "gateway"], moment: "publishing" },
];
const isSlow = process.env.OPEN_INSPECT_SLOW_TESTS === "1";

const keptImages = 2;
const over = ["ready", "failed", "cancelled", "superseded"];

/** @param system the one that runs; at the end no image is switched on and no sandbox is left */
export function kills(system: () => TestSystem) {
  const repository = "acme/killed";
  let running: TestSystem;
  /** snapshots of other repositories */
  let others: Set<string>;
  /** snapshots whose ids died with the gateway that took them */
  let lost = 0;

  const sandboxOf = async (build: string, kind: "build" | "verify") =>
    (await running.runningSandboxes()).find((one) => one.name.startsWith(`${kind}-${build}`));

  /** Resolves when the build is there, with what it was at; also when it is past it, as moments are short. */
  async function untilMoment(id: string, moment: Moment): Promise<string> {
    let verifying = false;
    const order = ["sandbox", "connect", "clone", "setup", "snapshot", "verify"];
    const deadline = Date.now() + 20_000;
    while (Date.now() < deadline) {
      if (moment === "asked") return moment;
      const build = await running.api.build(id);
      if (over.includes(build.status)) return build.status;
      if (moment === "publishing") {
        const sandbox = await sandboxOf(id, "verify");
        if (verifying && !sandbox) return moment;
        verifying ||= sandbox !== undefined;
      } else if (moment === "provisioning") {
        if (build.status !== "queued") return build.phase ?? build.status;
      } else if (build.phase !== null && order.indexOf(word(build.phase)) >= order.indexOf(word(moment))) {
        // The verification has no sandbox at once.
        if (moment !== "verify" || (await sandboxOf(id, "verify"))) return build.phase;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`build ${id} never came to ${moment}`);
  }
  const word = (phase: string) => (phase === "sync" ? "clone" : phase);

  async function kill(victims: Victim[], build: string) {
    const parts = victims.filter((victim) => victim !== "sandbox");
    if (victims.includes("sandbox")) {
      const sandbox = (await sandboxOf(build, "verify")) ?? (await sandboxOf(build, "build"));
      if (sandbox) await running.killSandbox(sandbox.id);
    }
    for (const part of parts) process.kill(-running.system.part(part).pid, "SIGKILL");
    await Promise.all(parts.map((part) => running.system.restart(part)));
  }

  const untilOver = (id: string): Promise<BuildView> =>
    until(`the end of build ${id}`, 120_000, async () => {
      const build = await running.api.build(id);
      return over.includes(build.status) ? build : null;
    });

  /** What holds after every build, however it ended. */
  async function expectSound(build: BuildView, before: string | undefined, wasGatewayKilled: boolean) {
    const { active, latestBuild } = await running.api.image(repository);
    expect(latestBuild?.id, "no other build runs").toBe(build.id);
    if (build.status === "ready") expect(active).toMatchObject({ buildId: build.id, sha: build.sha });
    else expect(active?.id, "what served goes on serving").toBe(before);
    const proved = await running.api.build(active?.buildId ?? "");
    expect(proved.phases.find((phase) => phase.phase === "verify")?.outcome).toBe("done");
    await running.untilNoSandboxes();
    const unowned = async () => {
      const kept = await running.api.images(repository);
      const ours = (await running.snapshots()).filter((id) => !others.has(id));
      // A row goes after the provider's image: until then there are more of both.
      return kept.length <= keptImages ? ours.length - kept.length : null;
    };
    // The provider cannot be asked for an image whose id went with the gateway that asked for it: it ends with its TTL, and the build says so.
    const { entries } = await running.api.buildLogs(build.id);
    const said = [...entries.map((entry) => entry.text), build.failure?.message ?? ""].join("\n");
    const mayBeLost = wasGatewayKilled && /could not take the snapshot/.test(said) ? 1 : 0;
    const now = await until("no image at the provider that nobody owns", 60_000, async () => {
      const count = await unowned();
      return count !== null && count >= lost && count <= lost + mayBeLost ? count : null;
    });
    if (isSlow && now > lost) process.stdout.write("an image is left to its TTL: its id died with the gateway\n");
    lost = now;
  }

  describe("killed in the middle of a build", () => {
    beforeAll(async () => {
      running = system();
      others = new Set(await running.snapshots());
      await running.createRepository("killed");
      const sha = await pushCommit(running.system, join(running.dataDir, "person"), repository, "Begin", {
        ".openinspect/setup.sh": { content: "#!/bin/sh\nsleep 0.4\necho made > made.txt\n", executable: true },
        ".openinspect/verify.sh": { content: "#!/bin/sh\nsleep 0.3\ntest -e made.txt\n", executable: true },
        ".gitignore": { content: "made.txt\n" },
      });
      await running.api.setImage(repository, true);
      await untilImageOf(running.api, repository, sha, 60_000);
    });
    afterAll(async () => {
      await running.api.setImage(repository, false);
      await running.untilNoSandboxes();
    });

    for (const { victims, moment } of isSlow ? all : few) {
      it(`${victims.join(" and ")} at ${moment}: the build ends, nothing is left, and what serves was proved`, async () => {
        // A clone happens in full builds only.
        const rebuildMode = moment === "clone" ? "clean" : "auto";
        await running.api.setSettings(repository, { limitMinutes: 30, keptImages, rebuildMode });
        await running.commitAtGithub(repository, { "README.md": `${victims} ${moment}\n` });
        const before = (await running.api.image(repository)).active?.id;
        const { build } = await running.api.rebuild(repository);
        const was = await untilMoment(build.id, moment);
        await kill(victims, build.id);
        const ended = await untilOver(build.id);
        await expectSound(ended, before, victims.includes("gateway"));
        const how = `${ended.mode} ${ended.status} ${ended.failure?.code ?? ""} after ${ended.durationMs} ms`;
        if (isSlow) process.stdout.write(`killed ${victims.join(" and ")} at ${was}: ${how}\n`);
      });
    }

    it("a session starts from what serves in the end, on the newest commit", async () => {
      const session = await untilSynced(running.api, (await running.api.startSession({ repository })).id);
      const { active } = await running.api.image(repository);
      expect(session).toMatchObject({ cold: null, bakedSha: active?.sha });
      expect(await running.witness.hasFile(session.id, "made.txt")).toBe(true);
      await running.api.stopSession(session.id);
    });
  });
}
