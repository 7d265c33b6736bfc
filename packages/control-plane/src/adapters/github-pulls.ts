/** Pull requests at GitHub with a client that is given: opened once, read. They throw octokit's errors, but for refusals that a person can act on. */
import { githubPullRequestEventSchema, type RepositoryRef } from "@open-inspect/protocol";
import { type Octokit, RequestError } from "octokit";
import { z } from "zod";
import { type PullAsk, type PullFound, type PullRefused } from "../domain/ports.ts";

const pullSchema = githubPullRequestEventSchema.shape.pull_request;
const numberedSchema = pullSchema.extend({ number: z.number().int().positive() });

/** What GitHub's answers and events say of a pull request, in our words. */
export function toPullFound(number: number, pull: z.infer<typeof pullSchema>): PullFound {
  const { html_url: url, state, title, updated_at: updatedAt, head } = pull;
  const isMerged = pull.merged === true || Boolean(pull.merged_at);
  const shown = state === "open" ? (pull.draft ? "draft" : "open") : isMerged ? "merged" : "closed";
  return {
    pullRequest: { number, url, state: shown, branch: head.ref, title },
    updatedAt: Date.parse(updatedAt),
    ...(pull.user ? { author: pull.user.type === "Bot" ? null : pull.user.login } : {}),
  };
}

const parse = (data: unknown): PullFound => {
  const pull = numberedSchema.parse(data);
  return toPullFound(pull.number, pull);
};

export async function readPull(octokit: Octokit, { owner, name }: RepositoryRef, number: number): Promise<PullFound> {
  return parse((await octokit.rest.pulls.get({ owner, repo: name, pull_number: number })).data);
}

/** The open one of this head and base; an answer that got lost may have opened it. */
async function findOpen(octokit: Octokit, { owner, name }: RepositoryRef, ask: PullAsk): Promise<PullFound | null> {
  const { data } = await octokit.rest.pulls.list({
    ...{ owner, repo: name, state: "open", head: `${owner}:${ask.head}`, base: ask.base, per_page: 10 },
  });
  // GitHub takes a head that it does not understand for no filter at all.
  const found = data.find(({ head, base }) => head.ref === ask.head && base.ref === ask.base);
  return found ? parse(found) : null;
}

export async function openPull(octokit: Octokit, repository: RepositoryRef, ask: PullAsk): Promise<PullFound | PullRefused> {
  const { owner, name: repo } = repository;
  const takeUp = async (): Promise<PullFound | null> => {
    const found = await findOpen(octokit, repository, ask);
    if (!found || Object.keys(ask.changes).length === 0) return found;
    const changed = await octokit.rest.pulls.update({ owner, repo, pull_number: found.pullRequest.number, ...ask.changes });
    return parse(changed.data);
  };
  const known = await takeUp();
  if (known) return known;
  const { base, head, title, body, draft } = ask;
  try {
    return parse((await octokit.rest.pulls.create({ owner, repo, base, head, title, body, draft })).data);
  } catch (error) {
    const reasons = reasonsOf(error);
    if (reasons === null) throw error;
    if (reasons.some((reason) => reason.startsWith("A pull request already exists"))) {
      const found = await takeUp();
      if (found) return found;
    }
    const message = reasons.join("; ") || "it does not say why";
    return { refused: reasons.some((reason) => reason.startsWith("No commits between")) ? "nothing" : "other", message };
  }
}

const invalidSchema = z.object({
  errors: z
    .array(z.object({ message: z.string().optional(), field: z.string().optional(), code: z.string().optional() }))
    .default([]),
});

/** Why GitHub finds a request wrong in itself; null for every other failure. */
function reasonsOf(error: unknown): string[] | null {
  if (!(error instanceof RequestError) || error.status !== 422) return null;
  const parsed = invalidSchema.safeParse(error.response?.data);
  const errors = parsed.success ? parsed.data.errors : [];
  // Without reasons of its own it is a 422 of something else, like a token that may not be had.
  if (errors.length === 0) return null;
  return errors.map(({ message, field, code }) => message ?? `${field ?? "the request"} is ${code ?? "invalid"}`);
}
