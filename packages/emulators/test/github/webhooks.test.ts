import { createHmac } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { validateWebhook } from "./openapi.ts";
import { app, authenticated, git, person, type Received, startReceiver, startWorld, temporaryFolder } from "./support.ts";

/** Fails unless the delivery is signed and is a push event of GitHub's. */
function readPush(delivery: Received | undefined): unknown {
  const signature = createHmac("sha256", app.webhookSecret)
    .update(delivery?.body ?? "")
    .digest("hex");
  expect(delivery?.headers).toMatchObject({
    "content-type": "application/json",
    "x-github-event": "push",
    "x-github-delivery": expect.stringMatching(/^[0-9a-f-]{36}$/),
    "x-github-hook-id": expect.stringMatching(/^\d+$/),
    "x-github-hook-installation-target-type": "integration",
    "x-github-hook-installation-target-id": String(app.id),
    "x-hub-signature-256": `sha256=${signature}`,
    "user-agent": expect.stringMatching(/^GitHub-Hookshot\//),
  });
  const body: unknown = JSON.parse(delivery?.body ?? "");
  validateWebhook("push", body);
  return body;
}
const nowhere = "0".repeat(40);

test("each branch and tag of a push is announced: new, moved, forced and deleted", async () => {
  const receiver = await startReceiver();
  const world = await startWorld({ webhookUrl: receiver.url });
  const { cloneUrl } = await world.github.addRepository({ owner: "acme", name: "sample", private: true, empty: true });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", authenticated(cloneUrl, person.token), "clone");
  const clone = join(folder, "clone");
  await git(clone, "checkout", "-q", "-b", "main");
  await git(clone, "commit", "-q", "--allow-empty", "-m", "First");
  await git(clone, "push", "-q", "origin", "main");
  const first = await git(clone, "rev-parse", "HEAD");
  expect(readPush((await receiver.waitFor(1))[0])).toMatchObject({
    ref: "refs/heads/main",
    before: nowhere,
    after: first,
    created: true,
    deleted: false,
    forced: false,
    commits: [{ id: first, message: "First" }],
    head_commit: { id: first },
    pusher: { name: person.login },
    installation: { id: expect.any(Number) },
    repository: { full_name: "acme/sample", private: true, default_branch: "main", owner: { login: "acme" } },
  });

  await git(clone, "commit", "-q", "--amend", "--allow-empty", "-m", "Instead");
  await git(clone, "push", "-q", "--force", "origin", "main");
  const instead = await git(clone, "rev-parse", "HEAD");
  expect(readPush((await receiver.waitFor(2))[1])).toMatchObject({
    before: first,
    after: instead,
    forced: true,
    commits: [{ id: instead }],
  });

  await git(clone, "tag", "v1");
  await git(clone, "push", "-q", "origin", "main:refs/heads/topic", "v1");
  const [topic, tag] = (await receiver.waitFor(4))
    .slice(2)
    .map(readPush)
    .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
  expect(topic).toMatchObject({ ref: "refs/heads/topic", created: true, commits: [], head_commit: { id: instead } });
  expect(tag).toMatchObject({ ref: "refs/tags/v1", created: true, commits: [] });

  await git(clone, "push", "-q", "origin", ":topic");
  expect(readPush((await receiver.waitFor(5))[4])).toMatchObject({
    ref: "refs/heads/topic",
    after: nowhere,
    deleted: true,
    head_commit: null,
    commits: [],
  });
});

test("a commit made over the emulator's own route is announced like a push", async () => {
  const receiver = await startReceiver();
  const world = await startWorld({ webhookUrl: receiver.url });
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const commit = async (body: object) => {
    const response = await world.admin("POST", "/repositories/acme/sample/commits", body);
    expect(response.status).toBe(201);
    return z.object({ sha: z.string() }).parse(await response.json()).sha;
  };
  const files = { "a.txt": "1\n", "dir/b.txt": "2\n", ".openinspect/setup.sh": "#!/bin/sh\n" };
  const first = await commit({ message: "One", files });
  const second = await commit({ message: "Two", files: { "a.txt": "changed\n", "dir/b.txt": null, "c.txt": "3\n" } });
  const side = await commit({ branch: "side/branch", message: "Three", files: { d: "4" } });
  const bySha = new Map(
    (await receiver.waitFor(3)).map(readPush).map((body) => [z.object({ after: z.string() }).parse(body).after, body]),
  );
  expect(bySha.get(second)).toMatchObject({
    before: first,
    commits: [{ id: second, added: ["c.txt"], modified: ["a.txt"], removed: ["dir/b.txt"] }],
  });
  expect(bySha.get(side)).toMatchObject({ ref: "refs/heads/side/branch", created: true, commits: [{ id: side }] });
  const folder = await temporaryFolder();
  await git(folder, "clone", "-q", `${world.github.url}/acme/sample.git`, "clone");
  expect(await git(join(folder, "clone"), "ls-files", "--stage", ".openinspect")).toMatch(/^100755 /);
  for (const path of ["../x", "/x", ".git/config", "a//b", "a/../b"]) {
    const refused = await world.admin("POST", "/repositories/acme/sample/commits", { message: "m", files: { [path]: "x" } });
    expect([path, refused.status]).toEqual([path, 400]);
  }
  expect((await world.admin("POST", "/repositories/acme/none/commits", { message: "m", files: {} })).status).toBe(404);
});

test("commits made at the same time follow one another and are all announced", async () => {
  const receiver = await startReceiver();
  const world = await startWorld({ webhookUrl: receiver.url });
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  const names = ["a", "b", "c", "d"];
  const made = await Promise.all(
    names.map((name) => world.github.commit("acme", "sample", { message: name, files: { [name]: name } })),
  );
  const history = await world.withToken(person.token).request("GET /repos/acme/sample/commits");
  expect(new Set(history.data.map((commit: { sha: string }) => commit.sha))).toEqual(new Set(made.map(({ sha }) => sha)));
  const commits = z.object({ commits: z.array(z.object({ id: z.string() })) });
  const announced = () =>
    receiver.received.flatMap((delivery) => commits.parse(JSON.parse(delivery.body)).commits.map(({ id }) => id));
  await expect.poll(() => announced().sort()).toEqual(made.map(({ sha }) => sha).sort());
});

test("a receiver that fails is tried again with the same delivery, and again on request", async () => {
  const receiver = await startReceiver((attempt) => (attempt < 3 ? 500 : 202));
  const world = await startWorld({ webhookUrl: receiver.url });
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", { message: "One", files: { a: "1" } });
  const attempts = await receiver.waitFor(3);
  const ids = new Set(attempts.map((attempt) => attempt.headers["x-github-delivery"]));
  expect(ids.size).toBe(1);
  const [id] = ids;
  const deliveries = async () => (await world.admin("GET", "/deliveries")).json();
  await expect.poll(deliveries).toEqual({ deliveries: [{ id, event: "push", status: "delivered", attempts: 3, code: 202 }] });
  expect((await world.admin("POST", `/deliveries/${String(id)}/redeliver`)).status).toBe(202);
  expect((await receiver.waitFor(4))[3]?.headers["x-github-delivery"]).toBe(id);
  expect((await receiver.waitFor(4))[3]?.body).toBe(attempts[0]?.body);
  expect((await world.admin("POST", "/deliveries/none/redeliver")).status).toBe(404);
});

test("a receiver that never takes a delivery is given up on, with a line in the log", async () => {
  const receiver = await startReceiver(() => 404);
  const world = await startWorld({ webhookUrl: receiver.url });
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", { message: "One", files: { a: "1" } });
  await receiver.waitFor(4);
  await expect
    .poll(() => world.logs.join("\n"))
    .toMatch(/webhook push [0-9a-f-]{36} was not delivered: the receiver answered 404/);
  expect(receiver.received).toHaveLength(4);
  expect(world.logs.join("\n")).not.toContain(app.webhookSecret);
});

test("without a webhook URL nothing is sent; with a new one, pushes from then on are", async () => {
  const receiver = await startReceiver();
  const world = await startWorld();
  await world.github.addRepository({ owner: "acme", name: "sample", empty: true });
  await world.github.commit("acme", "sample", { message: "Unheard", files: { a: "1" } });
  world.github.setWebhookUrl(receiver.url);
  await world.github.commit("acme", "sample", { message: "Heard", files: { a: "2" } });
  const [delivery] = await receiver.waitFor(1);
  expect(readPush(delivery)).toMatchObject({ head_commit: { message: "Heard" } });
  expect(receiver.received).toHaveLength(1);
});
