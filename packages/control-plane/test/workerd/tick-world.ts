/** What tests of the tick share: many enabled repositories with images in D1, and one message of the queue delivered by hand. */
import { createExecutionContext, createMessageBatch, getQueueResult, listDurableObjectIds } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type HeadCheckOutcome } from "@open-inspect/protocol";
import { expect } from "vitest";
import { type HeadCheckMessage } from "../../src/domain/ports.ts";
import worker from "../../src/worker.ts";
import { type FakeRepository, type GitHubState } from "../fakes/github.ts";
import { github, someSha } from "./harness.ts";

export const nameOf = (index: number): string => `r${String(index).padStart(4, "0")}`;
export const scopeOf = (index: number): string => `repo:acme/${nameOf(index)}`;

/** Repositories of installation 7 whose images have commit a, which is also their head unless `change` says otherwise. */
export async function enableMany(
  count: number,
  change: (index: number) => Partial<FakeRepository> = () => ({}),
  ignorePaths: string[] = [],
): Promise<void> {
  const indices = Array.from({ length: count }, (_, index) => index);
  const repositories = indices.map(
    (index): FakeRepository => ({
      ...{ id: 1_000 + index, owner: "acme", name: nameOf(index), defaultBranch: "main", branches: { main: someSha("a") } },
      ...change(index),
    }),
  );
  await github({ do: "repositories", repositories });
  const names = JSON.stringify(indices.map(nameOf));
  const later = Date.now() + 20 * 86_400_000;
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO repositories (scope, owner, name, default_branch, private, clone_url, installation_id, archived, synced_at, github_id)
       SELECT 'repo:acme/' || value, 'acme', value, 'main', 0, 'http://github.test/acme/' || value || '.git', 7, 0, ?2, 1000 + key
       FROM json_each(?1)`,
    ).bind(names, Date.now()),
    env.DB.prepare(
      "INSERT INTO image_scopes (scope, enabled, active_image_id) SELECT 'repo:acme/' || value, 1, 'image-' || value FROM json_each(?1)",
    ).bind(names),
    env.DB.prepare(
      `INSERT INTO images (id, scope, build_id, build_order, provider_image_id, sha, branch, created_at, expires_at, build_ms, runtime_version, bridge_protocol, ignore_paths)
       SELECT 'image-' || value, 'repo:acme/' || value, 'build-' || value, 1, 'im-' || value, ?2, 'main', 0, ?3, 1, 'r', 1, ?4 FROM json_each(?1)`,
    ).bind(names, someSha("a"), later, JSON.stringify(ignorePaths)),
  ]);
}

/** Delivers one message; `sent`: what it put on the queue. */
export async function checkInstallation(
  more: Partial<HeadCheckMessage> = {},
): Promise<GitHubState & { sent: { message: HeadCheckMessage; delaySeconds: number | null }[] }> {
  const { calls: before } = await github({ do: "state" });
  const body: HeadCheckMessage = { installationId: 7, after: "", tickAt: Date.now(), ...more };
  const batch = createMessageBatch<HeadCheckMessage>("head-checks", [{ id: "m", timestamp: new Date(), attempts: 1, body }]);
  const sent: { message: HeadCheckMessage; delaySeconds: number | null }[] = [];
  const queue: Queue<HeadCheckMessage> = {
    ...env.HEAD_CHECKS,
    async send(message, options) {
      sent.push({ message, delaySeconds: options?.delaySeconds ?? null });
      return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
    },
  };
  const ctx = createExecutionContext();
  await worker.queue(batch, { ...env, HEAD_CHECKS: queue });
  expect((await getQueueResult(batch, ctx)).explicitAcks).toEqual(["m"]);
  const state = await github({ do: "state" });
  return { ...state, calls: state.calls.slice(before.length), sent };
}

export async function outcomes(): Promise<Map<string, { outcome: HeadCheckOutcome; sha: string | null }>> {
  const { results } = await env.DB.prepare("SELECT scope, outcome, sha FROM head_checks ORDER BY scope").all<{
    scope: string;
    outcome: HeadCheckOutcome;
    sha: string | null;
  }>();
  return new Map(results.map(({ scope, ...check }) => [scope, check]));
}

export async function skippedRows() {
  const { results } = await env.DB.prepare(
    "SELECT scope, reason, sha, from_sha AS fromSha, count FROM skipped_checks ORDER BY scope, first_at",
  ).all<{
    scope: string;
    reason: string;
    sha: string;
    fromSha: string | null;
    count: number;
  }>();
  return results;
}

/** objects that were ever woken */
export const countImageObjects = async (): Promise<number> => (await listDurableObjectIds(env.IMAGES)).length;
