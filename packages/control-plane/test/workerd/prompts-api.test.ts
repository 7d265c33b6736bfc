/** Prompts over REST: asked, changed, cancelled, stopped, with attachments, and what is refused. */

import { exports } from "cloudflare:workers";
import {
  attachmentMaxBytes,
  attachmentsMax,
  createId,
  type PromptView,
  promptMaxLength,
  promptQueueMax,
  type SessionView,
} from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { call, connectRuntime, eventually, json, origin, someSha, startedSandbox } from "./harness.ts";

type Refusal = { error: { code: string; message: string } };
const base64 = (bytes: Uint8Array | string): string =>
  btoa(typeof bytes === "string" ? bytes : Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const pngBeginning = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const digestOf = async (bytes: BufferSource): Promise<string> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).join(".");

async function start(more: object = {}) {
  const { body } = await json<SessionView>("POST", "/api/sessions", { repository: "acme/shop", ...more });
  const { config } = await startedSandbox(body.id);
  return { id: body.id, session: body, config, path: `/api/sessions/${body.id}/prompts` };
}
async function startReady(more: object = {}) {
  const started = await start(more);
  const runtime = await connectRuntime(started.config);
  runtime.event({ type: "session.ready", sha: someSha("a"), setupRan: true, agentVersion: "1" });
  return { ...started, runtime };
}

it("[PR1] [PR3] [PR4] prompts are queued, changed, cancelled and stopped over the API; the answer to a stop is there at once", async () => {
  const { path, runtime } = await startReady({ prompt: "first" });
  const sent = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the first prompt");
  const first = sent.type === "prompt" ? sent.promptId : "";
  expect(sent).toMatchObject({ text: "first", author: { name: "dev" } });
  const second = await json<PromptView>("POST", path, { text: "second", model: "a-model" });
  expect(second).toMatchObject({ status: 201, body: { status: "queued", model: "a-model", author: { name: "dev" }, parts: [] } });
  const third = await json<PromptView>("POST", path, { text: "third", id: createId("prompt", Date.now(), new Uint8Array(16)) });
  const again = await json<PromptView>("POST", path, { text: "something else", id: third.body.id });
  expect(again).toMatchObject({ status: 201, body: { id: third.body.id, text: "third" } });
  const changed = await json<PromptView>("PATCH", `${path}/${second.body.id}`, { text: "second, better", model: null });
  expect(changed).toMatchObject({ status: 200, body: { text: "second, better", model: null } });
  expect(await json("DELETE", `${path}/${third.body.id}`)).toMatchObject({ status: 200, body: { status: "cancelled" } });
  const late = await json<Refusal>("PATCH", `${path}/${first}`, { text: "late" });
  expect(late).toMatchObject({ status: 409, body: { error: { code: "prompt_started" } } });

  runtime.event({ type: "prompt.started", promptId: first });
  const askedAt = performance.now();
  expect(await json("POST", `${path}/${first}/stop`)).toMatchObject({ status: 200, body: { status: "running" } });
  await eventually(async () => runtime.received.some((one) => one.type === "abort" && one.promptId === first), "the abort");
  runtime.event({ type: "prompt.finished", promptId: first, outcome: "aborted", error: null });
  const next = await eventually(
    async () => runtime.received.find((one) => one.type === "prompt" && one.promptId === second.body.id),
    "the second prompt",
  );
  expect(performance.now() - askedAt).toBeLessThan(5_000);
  expect(next).toMatchObject({ text: "second, better", model: null });
});

it("[PR3] people who change and cancel the same prompt while it is sent: what counts is what was answered, and what is cancelled is never sent", async () => {
  const { id, path, runtime } = await startReady({ prompt: "first" });
  const promptsSent = () => runtime.received.flatMap((one) => (one.type === "prompt" ? [one] : []));
  const end = (promptId: string) => {
    runtime.event({ type: "prompt.started", promptId });
    runtime.event({ type: "prompt.finished", promptId, outcome: "done", error: null });
  };
  let running = (await eventually(async () => promptsSent()[0], "the first prompt")).promptId;
  for (let round = 0; round < 12; round++) {
    const { body } = await json<PromptView>("POST", path, { text: "as asked" });
    const last = await json<PromptView>("POST", path, { text: "after it" });
    const asks = [
      () => json<PromptView>("PATCH", `${path}/${body.id}`, { text: "from one page" }),
      () => json<PromptView>("PATCH", `${path}/${body.id}`, { text: "from another" }),
      () => json<PromptView>("DELETE", `${path}/${body.id}`),
      async () => end(running),
    ];
    const turned = [...asks.slice(round % 4), ...asks.slice(0, round % 4)];
    const answers = (await Promise.all(turned.map((ask) => ask()))).filter((one) => one !== undefined);
    const view = () => json<SessionView>("GET", `/api/sessions/${id}`);
    await eventually(
      async () => promptsSent().some((one) => one.promptId === body.id || one.promptId === last.body.id),
      "the next",
    );
    for (const { status } of answers) expect([200, 409]).toContain(status);
    const sent = promptsSent().filter((one) => one.promptId === body.id);
    const shown = (await view()).body.prompts.find((one) => one.id === body.id);
    const isCancelled = answers.some((one) => one.status === 200 && one.body.status === "cancelled");
    expect(sent.length, `round ${round}`).toBe(isCancelled ? 0 : 1);
    if (isCancelled) expect(shown).toMatchObject({ status: "cancelled", startedAt: null });
    else expect(sent[0]?.text).toBe(shown?.text);
    if (!isCancelled) end(body.id);
    await eventually(async () => promptsSent().some((one) => one.promptId === last.body.id), "the last");
    running = last.body.id;
  }
});

it("[PR2] [BR4] the longest prompt arrives whole, and as many as may wait run one after the other; one that no frame can carry says so", async () => {
  const { id, path, runtime } = await startReady();
  const texts = Array.from({ length: promptQueueMax }, (_, index) => `${index} `);
  texts[1] = "\u20ac".repeat(promptMaxLength);
  texts[2] = "\u0001".repeat(promptMaxLength);
  for (const text of ["x", ...texts]) expect((await json("POST", path, { text })).status).toBe(201);
  expect((await json("POST", path, { text: "one too many" })).status).toBe(409);
  const heard: string[] = [];
  while (heard.length < texts.length) {
    const sent = runtime.received.flatMap((one) => (one.type === "prompt" ? [one] : []));
    const next = sent[heard.length];
    if (next) {
      heard.push(next.text);
      runtime.event({ type: "prompt.started", promptId: next.promptId });
      runtime.event({ type: "prompt.finished", promptId: next.promptId, outcome: "done", error: null });
    } else await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(heard.map((text) => text.slice(0, 100))).toEqual(
    ["x", ...texts].filter((_, index) => index !== 3).map((text) => text.trim().slice(0, 100)),
  );
  expect(heard[2] === texts[1], "the longest one").toBe(true);
  const { prompts } = (
    await eventually(async () => {
      const view = await json<SessionView>("GET", `/api/sessions/${id}`);
      return !view.body.isWorking && view;
    }, "all are over")
  ).body;
  expect(prompts.filter(({ status }) => status !== "done")).toMatchObject([
    { status: "failed", error: expect.stringContaining("too long for one message") },
  ]);
});

it("[PR2] [PR3] what is not there or not allowed is refused with its code", async () => {
  const { path } = await start();
  const cases: [string, string, object | undefined, number, string][] = [
    ["POST", path, { text: "x", model: "gpt" }, 400, "model_not_allowed"],
    ["POST", path, { text: "  " }, 400, "invalid_request"],
    ["POST", path, { text: "x".repeat(promptMaxLength + 1) }, 400, "invalid_request"],
    ["POST", "/api/sessions/ses_01k00000000000000000000000/prompts", { text: "x" }, 404, "session_not_found"],
    ["PATCH", `${path}/prm_01k00000000000000000000000`, { text: "x" }, 404, "prompt_not_found"],
    ["DELETE", `${path}/nothing`, undefined, 404, "prompt_not_found"],
    ["POST", `${path}/prm_01k00000000000000000000000/stop`, undefined, 404, "prompt_not_found"],
    ["GET", path.replace("prompts", "attachments/none"), undefined, 404, "attachment_not_found"],
  ];
  for (const [method, at, body, status, code] of cases) {
    expect(await json<Refusal>(method, at, body), `${method} ${at}`).toMatchObject({ status, body: { error: { code } } });
  }
});

it("[PR7] attachments come with the first prompt or a later one, whole, and are read by people and by the sandbox that lives", async () => {
  const large = new Uint8Array(attachmentMaxBytes).map((_, at) => (at * 31) % 251);
  large.set(pngBeginning);
  const { id, session, config, runtime, path } = await startReady({
    prompt: "look",
    attachments: [{ name: "größe (1).png", mime: "image/png", data: base64(large) }],
  });
  const attachment = session.prompts[0]?.attachments[0];
  expect(attachment).toMatchObject({ name: "größe (1).png", mime: "image/png", sizeBytes: attachmentMaxBytes });
  const sent = await eventually(async () => runtime.received.find((one) => one.type === "prompt"), "the prompt");
  expect(sent.type === "prompt" && sent.attachments).toEqual([attachment]);
  const url = `/sessions/${id}/attachments/${attachment?.id}`;
  const shown = await call("GET", `/api${url}`);
  expect(await digestOf(await shown.arrayBuffer())).toBe(await digestOf(large));
  expect(Object.fromEntries(shown.headers)).toMatchObject({
    "content-type": "image/png",
    "content-disposition": "inline; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%281%29.png",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
  });
  const read = (token: string) =>
    exports.default.fetch(`${origin}/bridge${url}`, { headers: { authorization: `Bearer ${token}` } });
  expect(await digestOf(await (await read(config.bridgeToken)).arrayBuffer())).toBe(await digestOf(large));
  expect((await read("x".repeat(64))).status).toBe(401);

  const page = { name: "page.txt", mime: "text/plain", data: base64("<script>alert(1)</script>") };
  const later = await json<PromptView>("POST", path, { text: "and this", attachments: [page] });
  const text = await call("GET", `/api/sessions/${id}/attachments/${later.body.attachments[0]?.id}`);
  expect(text.headers.get("content-disposition")).toContain("attachment;");
  expect(text.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  await text.text();
  await json("POST", `/api/sessions/${id}/stop`);
  await eventually(async () => (await read(config.bridgeToken)).status === 404, "a sandbox that is over reads nothing");
});

it("[PR7] what is not what it says, of another kind, too large or too much is refused", async () => {
  const { path } = await start();
  const ask = (attachments: object[]) => json<Refusal>("POST", path, { text: "x", attachments });
  const file = (more: object) => ({ name: "a", mime: "text/plain", data: base64("a"), ...more });
  const cases: [object[], number][] = [
    [[file({ data: base64(new Uint8Array([0xff, 0xfe, 0x00])) })], 400],
    [[file({ mime: "text/html" })], 400],
    ...["image/png", "image/jpeg", "image/gif", "image/webp"].map((mime): [object[], number] => [[file({ mime })], 400]),
    [[file({ mime: "image/jpeg", data: base64(new Uint8Array(pngBeginning)) })], 400],
    [[file({ data: base64(new Uint8Array(pngBeginning)) })], 400],
    [[file({ data: "not base64!" })], 400],
    [[file({ data: "A".repeat(4 * Math.ceil(attachmentMaxBytes / 3) + 4) })], 400],
    [Array.from({ length: attachmentsMax + 1 }, () => file({})), 400],
  ];
  for (const [attachments, status] of cases) expect((await ask(attachments)).status).toBe(status);
  const kinds = { png: "\x89PNG\r\n\x1a\n", jpeg: "\xff\xd8\xff\xe0", gif: "GIF89a", webp: "RIFF\0\0\0\0WEBP" };
  for (const [kind, bytes] of Object.entries(kinds))
    expect((await ask([file({ mime: `image/${kind}`, data: btoa(bytes) })])).status, kind).toBe(201);
  const much = await call("POST", path, `{"text":"${"x".repeat(23 * 1024 * 1024)}"}`);
  expect(much.status).toBe(413);
});
