/** Many sessions at once while the provider limits the rate: each becomes ready or fails with a cause. */
import { type SessionView } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { connectRuntime, eventually, gateway, json, someSha, startedSandbox } from "./harness.ts";

const atOnce = 30;
const refusals = 45;
const view = async (id: string) => (await json<SessionView>("GET", `/api/sessions/${id}`)).body;

it("[SB14] thirty sessions that begin together while the provider refuses most creates all get ready, or fail with a cause", async () => {
  await json("GET", "/api/repositories");
  await gateway({ do: "fault", fault: { call: "create", kind: "transient", code: "provider_busy", times: refusals } });
  const started = await Promise.all(
    Array.from({ length: atOnce }, () => json<SessionView>("POST", "/api/sessions", { repository: "acme/shop" })),
  );
  expect(started.every(({ status }) => status === 201)).toBe(true);
  const ids = started.map(({ body }) => body.id);
  await eventually(async () => (await view(ids.at(-1) ?? "")).phases[0]?.detail, "a refused one says what it waits for");
  // One of them is refused for good.
  await gateway({ do: "fault", fault: { call: "create", kind: "permanent", code: "provider_rejected", times: 1 } });

  const ends = await Promise.all(
    ids.map(async (id) => {
      const first = await eventually(async () => {
        const now = await view(id);
        return now.status !== "created" && now;
      }, `${id} is not waited for any more`);
      if (first.status === "failed") return first;
      const runtime = await connectRuntime((await startedSandbox(id)).config);
      runtime.event({ type: "session.ready", sha: someSha("b"), setupRan: true, agentVersion: "1" });
      return eventually(async () => {
        const now = await view(id);
        return now.status === "ready" && now;
      }, `${id} is ready`);
    }),
  );
  const failed = ends.filter((one) => one.status === "failed");
  expect(failed.map((one) => one.failure?.code)).toEqual(["sandbox_create_failed"]);
  expect(ends.filter((one) => one.status === "ready")).toHaveLength(atOnce - 1);
  const { calls, sandboxes } = await gateway({ do: "state" });
  expect(sandboxes, "nobody got two").toHaveLength(atOnce - 1);
  expect(calls.filter((one) => one === "create").length, "no refusal is answered with many more calls").toBeLessThanOrEqual(
    atOnce + refusals,
  );
});
