/** The image pipeline end to end on a running system of its own: modes, pins, cancel, changes at GitHub, and parts that are killed in the middle of builds. */
import { afterAll, beforeAll } from "vitest";
import { startTestSystem, type TestSystem } from "./support.ts";
import { kills } from "./system/kills.ts";
import { pipeline } from "./system/pipeline.ts";
import { repositoryChanges } from "./system/repository-changes.ts";

let running: TestSystem;

beforeAll(async () => {
  running = await startTestSystem({ vars: { BUILD_LIMIT_MS: "15000" } });
});
afterAll(() => running?.close());

pipeline(() => running);
repositoryChanges(() => running);
kills(() => running);
