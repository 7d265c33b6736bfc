/** kill -9 of each part in the middle of a prompt: the prompt ends with its answer or with a named failure, and the next prompt works. */
import { beforeAll, describe, expect, it } from "vitest";
import { textOf, until, untilAnswered } from "../../api.ts";
import { type TestSystem } from "../support.ts";
import { script } from "./verification.ts";

/** What becomes of the prompt when the agent is killed is among the verification criteria. */
type Victim = "supervisor" | "sandbox" | "gateway" | "worker";
const victims: Victim[] = ["supervisor", "sandbox", "gateway", "worker"];

/**
 * @param system the one that runs
 * @param session one that is ready, and is so again at the end
 */
export function sessionKills(system: () => TestSystem, session: () => string) {
  let running: TestSystem;
  let sessionId: string;

  async function kill(victim: Victim) {
    switch (victim) {
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
    beforeAll(() => {
      running = system();
      sessionId = session();
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
