/** kill -9 of each part in the middle of a prompt: the prompt ends with its answer or with a named failure, and the next prompt works. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { textOf, until, untilAnswered, untilImageOf, untilReady } from "../../api.ts";
import { pushCommit } from "../../person.ts";
import { type TestSystem } from "../support.ts";
import { script } from "./verification.ts";

type Victim = "agent" | "supervisor" | "sandbox" | "gateway" | "worker";
const victims: Victim[] = ["agent", "supervisor", "sandbox", "gateway", "worker"];

/** @param system the one that runs; at the end no image is switched on and no sandbox is left */
export function sessionKills(system: () => TestSystem) {
  const repository = "acme/interrupted";
  let running: TestSystem;
  let sessionId: string;

  async function kill(victim: Victim) {
    switch (victim) {
      case "agent":
        await running.witness.run(sessionId, "pkill -9 -f 'opencode serve'");
        return;
      case "supervisor":
        await running.witness.run(sessionId, "pkill -9 -f runtime.mjs");
        return;
      case "sandbox": {
        const sandbox = (await running.runningSandboxes()).find((one) => one.name.includes(sessionId));
        if (sandbox === undefined) throw new Error("the session has no sandbox");
        return running.killSandbox(sandbox.id);
      }
      case "gateway":
      case "worker":
        process.kill(-running.system.part(victim).pid, "SIGKILL");
        await running.system.restart(victim);
    }
  }

  describe("killed in the middle of a prompt", () => {
    beforeAll(async () => {
      running = system();
      await running.createRepository("interrupted");
      const sha = await pushCommit(running.system, join(running.dataDir, "person"), repository, "Begin", {
        "README.md": { content: "Begin\n" },
      });
      await running.api.setImage(repository, true);
      await untilImageOf(running.api, repository, sha, 60_000);
      sessionId = (await untilReady(running.api, (await running.api.startSession({ repository })).id, 30_000)).id;
    });
    afterAll(async () => {
      await running.api.setImage(repository, false);
      await running.api.stopSession(sessionId);
      await running.untilNoSandboxes();
    });

    for (const victim of victims) {
      it(`${victim}: the prompt ends with its answer or a named failure, and the next one is answered`, async () => {
        const wait = { tool: { name: "bash", args: { command: "sleep 2; echo waited", description: "Waits" } } };
        const prompt = await running.api.prompt(sessionId, { text: `Wait. ${script(wait, { text: `Through ${victim}.` })}` });
        await until("the tool runs", 60_000, async () => {
          const found = (await running.api.session(sessionId)).prompts.find((one) => one.id === prompt.id);
          return found?.parts.some((part) => part.kind === "tool" && part.status === "running") ? found : null;
        });
        await kill(victim);
        const ended = await untilAnswered(running.api, sessionId, prompt.id, 120_000);
        if (ended.status === "done") expect(textOf(ended)).toBe(`Through ${victim}.`);
        else {
          expect(ended.status).toBe("failed");
          expect(ended.error).toMatch(/\S/);
        }
        const next = await running.api.prompt(sessionId, { text: `And now? ${script({ text: `After ${victim}.` })}` });
        const answered = await untilAnswered(running.api, sessionId, next.id, 60_000);
        expect(answered, answered.error ?? "").toMatchObject({ status: "done" });
        expect(textOf(answered)).toBe(`After ${victim}.`);
        const { prompts } = await running.api.session(sessionId);
        expect(prompts.filter((one) => one.finishedAt === null)).toEqual([]);
      });
    }
  });
}
