/** Sessions end to end on a running system of their own: what is promised of a sandbox, the conversation in the browser, pull requests, the login, and parts that are killed in the middle of a prompt. */
import { afterAll, beforeAll } from "vitest";
import { startTestSystem, type TestSystem } from "./support.ts";
import { conversation } from "./system/conversation.ts";
import { login } from "./system/login.ts";
import { pullRequests } from "./system/pull-requests.ts";
import { sessionKills } from "./system/session-kills.ts";
import { verification } from "./system/verification.ts";
import { warmSandboxes } from "./system/warm.ts";

let running: TestSystem;

beforeAll(async () => {
  running = await startTestSystem();
});
afterAll(() => running?.close());

verification(() => running);
conversation(() => running);
warmSandboxes(() => running);
pullRequests(() => running);
login(() => running);
sessionKills(() => running);
