/** Single readings of GitHub with a client that is given: heads by GraphQL and by REST, comparisons of commits. They throw octokit's errors. */
import { type CommitInfo, type RepositoryRef, shaSchema } from "@open-inspect/protocol";
import { type Octokit, RequestError } from "octokit";
import { z } from "zod";
import { type Comparison, type FoundHead, type FoundHeads } from "../domain/ports.ts";
import { commitInfo } from "../domain/sightings.ts";

const targetSchema = z.object({
  oid: z.string(),
  messageHeadline: z.string().optional(),
  author: z.object({ name: z.string().nullable(), user: z.object({ login: z.string() }).nullable() }).nullish(),
});
const headSchema = z.object({
  name: z.string(),
  owner: z.object({ login: z.string() }),
  isArchived: z.boolean().optional(),
  defaultBranchRef: z.object({ name: z.string(), target: targetSchema.nullable() }).nullable(),
});
const answerSchema = z.record(z.string(), headSchema.nullable());
const errorsSchema = z.array(
  z.object({ type: z.string().optional(), path: z.array(z.union([z.string(), z.number()])).optional() }),
);

/** GraphQL says errors under status 200. */
const errorsOf = (error: unknown): z.infer<typeof errorsSchema> => {
  if (!(error instanceof Error) || error.name !== "GraphqlResponseError" || !("errors" in error)) return [];
  return errorsSchema.safeParse(error.errors).data ?? [];
};

export const isRateLimitedAnswer = (error: unknown): boolean => errorsOf(error).some(({ type }) => type === "RATE_LIMITED");

/** One GraphQL request with an alias per repository. A repository that is gone comes back as null beside an error. */
export async function readHeads(octokit: Octokit, repositories: readonly RepositoryRef[]): Promise<FoundHeads> {
  const parameters = repositories.map((_, index) => `$o${index}: String!, $n${index}: String!`).join(", ");
  const fields = repositories.map((_, index) => `r${index}: repository(owner: $o${index}, name: $n${index}) { ...head }`);
  const commit = "oid ... on Commit { messageHeadline author { name user { login } } }";
  const fragment = `fragment head on Repository { name owner { login } isArchived defaultBranchRef { name target { ${commit} } } }`;
  const variables = Object.fromEntries(
    repositories.flatMap(({ owner, name }, index) => [
      [`o${index}`, owner],
      [`n${index}`, name],
    ]),
  );
  const missing = new Set<string>();
  const raw = await octokit
    .graphql<unknown>(`query heads(${parameters}) { ${fields.join(" ")} } ${fragment}`, variables)
    .catch((error: unknown) => {
      const isPartial = error instanceof Error && error.name === "GraphqlResponseError" && "data" in error && error.data;
      if (!isPartial || isRateLimitedAnswer(error)) throw error;
      for (const { type, path } of errorsOf(error)) if (type === "NOT_FOUND" && path) missing.add(String(path[0]));
      return error.data;
    });
  const answer = answerSchema.parse(raw);
  const found: FoundHeads = { heads: [], gone: [] };
  for (const [index, repository] of repositories.entries()) {
    const one = answer[`r${index}`];
    if (!one) {
      if (missing.has(`r${index}`)) found.gone.push(repository);
      continue;
    }
    const sha = shaSchema.safeParse(one.defaultBranchRef?.target?.oid);
    found.heads.push({
      repository,
      foundAs: { owner: one.owner.login, name: one.name },
      defaultBranch: one.defaultBranchRef?.name ?? null,
      sha: sha.success ? sha.data : null,
      commit: commitOf(one.defaultBranchRef?.target ?? null),
      archived: one.isArchived ?? false,
    });
  }
  return found;
}

function commitOf(target: z.infer<typeof targetSchema> | null): CommitInfo | null {
  const { author, messageHeadline: message = "" } = target ?? {};
  return author
    ? commitInfo({ author: author.name ?? author.user?.login ?? "", login: author.user?.login ?? null, message })
    : null;
}

/** GitHub takes the commit itself as the entity tag of this media type: an answer of 304 says that nothing moved. */
export async function headUnlessKnown(
  octokit: Octokit,
  { owner, name }: RepositoryRef,
  branch: string,
  known: string | null,
): Promise<FoundHead> {
  const headers = { accept: "application/vnd.github.sha", ...(known ? { "if-none-match": `"${known}"` } : {}) };
  try {
    const { data } = await octokit.request("GET /repos/{owner}/{repo}/commits/{ref}", {
      ...{ owner, repo: name, ref: `heads/${branch}`, headers },
    });
    // octokit reads a media type that it does not know as bytes, unless the answer names its charset.
    const body: unknown = data;
    const sha = shaSchema.parse(body instanceof ArrayBuffer ? new TextDecoder().decode(body) : body);
    return { sha, commit: sha === known ? null : await readCommit(octokit, { owner, name }, sha) };
  } catch (error) {
    if (known && error instanceof RequestError && error.status === 304) return { sha: known, commit: null };
    throw error;
  }
}

const commitSchema = z.object({
  author: z.object({ login: z.string() }).nullish().catch(null),
  commit: z.object({ message: z.string(), author: z.object({ name: z.string() }).nullish() }),
});

/** Who wrote a commit is worth one request, and nothing fails without it. */
async function readCommit(octokit: Octokit, { owner, name }: RepositoryRef, sha: string): Promise<CommitInfo | null> {
  try {
    const { data } = await octokit.rest.repos.getCommit({ owner, repo: name, ref: sha, per_page: 1 });
    const { author, commit } = commitSchema.parse(data);
    const login = author?.login ?? null;
    return commitInfo({ author: commit.author?.name ?? login ?? "", login, message: commit.message });
  } catch {
    return null;
  }
}

/** files that a comparison lists at most; with as many there may be more */
const comparedFilesMax = 300;

export async function compareCommits(
  octokit: Octokit,
  { owner, name }: RepositoryRef,
  base: string,
  head: string,
): Promise<Comparison> {
  // The files are on the first page, the commits are not wanted.
  const { data } = await octokit.rest.repos.compareCommitsWithBasehead({
    ...{ owner, repo: name, basehead: `${base}...${head}`, per_page: 1, page: 1 },
  });
  const files = data.files ?? [];
  const paths = files.flatMap((file) => [file.filename, ...(file.previous_filename ? [file.previous_filename] : [])]);
  return { isAhead: data.status === "ahead", paths: files.length >= comparedFilesMax ? null : paths };
}
