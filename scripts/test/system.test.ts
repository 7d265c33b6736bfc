/**
 * What is tested end to end on one running system, one part after the other: starting it is the dearest step of each. The image pipeline
 * has a system of its own in `pipeline.test.ts`, so that two workers have about the same to do.
 */
import { afterAll, beforeAll } from "vitest";
import { startTestSystem, type TestSystem } from "./support.ts";
import { faults } from "./system/faults.ts";
import { mainFlow } from "./system/main-flow.ts";
import { resilience } from "./system/resilience.ts";

/** Long enough for a build of a small repository on a busy machine, short enough to wait for. */
const buildLimitMs = 15_000;
let running: TestSystem;

beforeAll(async () => {
  running = await startTestSystem({ vars: { BUILD_LIMIT_MS: `${buildLimitMs}` } });
});
afterAll(() => running?.close());

mainFlow(() => running);
resilience(() => running);
faults(() => running, buildLimitMs);
