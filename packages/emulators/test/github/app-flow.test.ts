import { createHmac } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { validateWebhook } from "./openapi.ts";
import { app, authenticated, git, startReceiver, startWorld, temporaryFolder } from "./support.ts";

test("an app goes from its key to a repository's head, a clone, a push and the signed webhook of it", async () => {
  const receiver = await startReceiver();
  const world = await startWorld({ webhookUrl: receiver.url });
  const tree = await temporaryFolder();
  await writeFile(join(tree, "README.md"), "# Sample\n");
  const repository = await world.github.addRepository({ owner: "acme", name: "sample", private: true, fromTree: tree });

  const { data: self } = await world.octokitApp.octokit.request("GET /app");
  expect(self).toMatchObject({ id: app.id, slug: app.slug });
  const { octokit, token } = await world.asInstallation("acme", ["sample"], { contents: "write" });
  const { data: branch } = await octokit.rest.repos.getBranch({ owner: "acme", repo: "sample", branch: "main" });
  expect(branch.commit.sha).toBe(repository.sha);

  const work = await temporaryFolder();
  await git(work, "clone", "-q", authenticated(repository.cloneUrl, token), "clone");
  const clone = join(work, "clone");
  expect(await readFile(join(clone, "README.md"), "utf8")).toBe("# Sample\n");
  await writeFile(join(clone, "new.txt"), "new\n");
  await git(clone, "add", ".");
  await git(clone, "commit", "-qm", "Add a file");
  await git(clone, "push", "-q", "origin", "main");
  const head = await git(clone, "rev-parse", "HEAD");
  const moved = await octokit.rest.repos.getBranch({ owner: "acme", repo: "sample", branch: "main" });
  expect(moved.data.commit.sha).toBe(head);

  const [delivery] = await receiver.waitFor(1);
  const signature = createHmac("sha256", app.webhookSecret)
    .update(delivery?.body ?? "")
    .digest("hex");
  expect(delivery?.headers).toMatchObject({ "x-github-event": "push", "x-hub-signature-256": `sha256=${signature}` });
  const payload: unknown = JSON.parse(delivery?.body ?? "");
  validateWebhook("push", payload);
  expect(payload).toMatchObject({
    ref: "refs/heads/main",
    before: repository.sha,
    after: head,
    commits: [{ id: head, added: ["new.txt"] }],
    repository: { full_name: "acme/sample", default_branch: "main" },
  });
});
