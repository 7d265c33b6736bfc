/** Sessions end to end on a running system of their own: what is promised of a sandbox, the conversation in the browser, pull requests, the login, and parts that are killed in the middle of a prompt. */
import { type Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { launchBrowser } from "./browser.ts";
import { startTestSystem, type TestSystem } from "./support.ts";
import { conversation } from "./system/conversation.ts";
import { login } from "./system/login.ts";
import { pullRequests } from "./system/pull-requests.ts";
import { sessionKills } from "./system/session-kills.ts";
import { verification } from "./system/verification.ts";
import { warmSandboxes } from "./system/warm.ts";

let running: TestSystem;
let browser: Browser;

beforeAll(async () => {
  [running, browser] = await Promise.all([startTestSystem(), launchBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await running?.close();
});

verification(
  () => running,
  (sessionId) => sessionKills(() => running, sessionId),
);
conversation(
  () => running,
  () => browser,
  (session) =>
    login(
      () => running,
      () => browser,
      session,
    ),
);
warmSandboxes(
  () => running,
  () => browser,
);
pullRequests(() => running);
