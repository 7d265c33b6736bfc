/** What is told of failing builds, where, and how it reads. */
import { expect, it } from "vitest";
import { createFailure } from "../../src/domain/failures.ts";
import { type BuildRecord, emptyScope, type FailureSeries, type ScopeState } from "../../src/domain/image-scope-state.ts";
import { evaluateAnswer, isNoticeWanted, type Notice, noticeOf, refuseUrl, slackBody } from "../../src/domain/notifications.ts";

const target = {
  owner: "acme",
  name: "shop",
  branch: "main",
  private: false,
  cloneUrl: "http://github.test/a",
  installationId: 1,
};
const series: FailureSeries = { count: 1, firstSha: null, firstAt: 0, sha: null, triesOfSha: 1, nextTryAt: 0 };

function record(id: string, status: BuildRecord["status"]): BuildRecord {
  const failure = status === "failed" ? createFailure("setup_failed", { lines: ["a secret line"] }) : null;
  return {
    ...{
      id,
      imageId: "img_1",
      attempts: [],
      order: 1,
      trigger: "push",
      requestedBy: null,
      requestedAt: 0,
      limitMs: 1,
      headSha: null,
    },
    ...{
      tryNumber: 1,
      branch: "main",
      cloneUrl: "",
      startedAt: 0,
      sha: "a".repeat(40),
      fromSha: null,
      mode: "full",
      modeReason: null,
    },
    ...{ inputs: null, file: null, note: null, sizeBytes: null, phases: [], finishedAt: 7, status, failure },
  };
}
const good: ScopeState = { ...emptyScope, target, enabled: true, last: record("bld_0", "ready") };
const bad: ScopeState = { ...good, failing: series, last: record("bld_1", "failed") };

it("[NO1] the first failure and the good build after it are told, nothing in between and no switching off", () => {
  expect(noticeOf(good, bad)).toEqual({
    id: "bld_1.failing",
    type: "image.failing",
    at: 7,
    repository: { owner: "acme", name: "shop" },
    build: {
      id: "bld_1",
      sha: "a".repeat(40),
      failure: { code: "setup_failed", message: expect.any(String), hint: expect.any(String), phase: null },
    },
  });
  expect(noticeOf(bad, { ...bad, failing: { ...series, count: 2 }, last: record("bld_2", "failed") })).toBeNull();
  expect(noticeOf(bad, { ...bad, failing: null })).toBeNull();
  expect(noticeOf(bad, { ...bad, failing: null, last: record("bld_3", "cancelled") })).toBeNull();
  expect(noticeOf(bad, { ...good, last: record("bld_3", "ready") })).toMatchObject({
    id: "bld_3.recovered",
    type: "image.recovered",
    build: { failure: null },
  });
});

it("[NO3] what is not true any more is not told, a refusal is final, an outage is not", () => {
  const failing: Notice = { id: "1", type: "image.failing", at: 0, repository: target, build: null };
  expect([isNoticeWanted(bad, failing), isNoticeWanted(good, failing)]).toEqual([true, false]);
  const recovered: Notice = { ...failing, type: "image.recovered" };
  expect([isNoticeWanted(bad, recovered), isNoticeWanted(good, recovered)]).toEqual([false, true]);
  expect([200, 204, 301, 400, 404, 410].map(evaluateAnswer)).toEqual([
    ...["delivered", "delivered", "refused", "refused", "refused", "refused"],
  ]);
  expect([408, 429, 500, 503].map(evaluateAnswer)).toEqual(["failed", "failed", "failed", "failed"]);
});

it("[NO4] only public https addresses are used, however a private one is written", () => {
  for (const address of [
    "https://hooks.slack.com/services/T/B/x",
    "https://8.8.8.8/x",
    "https://[2606:4700::1]/x",
    "https://a.example:8443/",
  ])
    expect(refuseUrl(address, false), address).toBeNull();
  for (const address of [
    "http://hooks.slack.com/x",
    "ftp://example.com/",
    "nonsense",
    "https://user:word@example.com/",
    "https://localhost/",
    "https://localhost./",
    "https://a.localhost/",
    "https://intranet/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f.0.0.1/",
    "https://0/",
    "https://10.1.2.3/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest",
    "https://172.16.0.1/",
    "https://172.31.255.1/",
    "https://192.168.1.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[fc00::1]/",
    "https://[fe80::1]/",
    "https://[2002:a00:1::]/",
    "https://[2001:0:a00:1::]/",
  ])
    expect(refuseUrl(address, false), address).not.toBeNull();
  expect(refuseUrl("http://127.0.0.1:9999/hook", true)).toBeNull();
  expect(refuseUrl("ftp://127.0.0.1/", true)).not.toBeNull();
  for (const public172 of ["https://172.15.0.1/", "https://172.32.0.1/", "https://100.128.0.1/"])
    expect(refuseUrl(public172, false), public172).toBeNull();
});

it("[NO1] in Slack the cause stands as text, never as markup of its own", () => {
  const notice = noticeOf(good, bad);
  if (!notice) throw new Error("no notice");
  const failure = { code: "setup_failed", message: "<!channel> & <https://evil|click>", hint: "h", phase: "setup" } as const;
  const { text } = slackBody({ ...notice, build: { id: "bld_1", sha: "a".repeat(40), failure }, url: "https://oi/builds/bld_1" });
  expect(text).toContain("*acme/shop*");
  expect(text).toContain("<https://oi/builds/bld_1|failed> at `aaaaaaa`");
  expect(text).toContain("&lt;!channel&gt; &amp; &lt;https://evil|click&gt;");
});
