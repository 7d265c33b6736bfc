/** Commits, comparisons and changed files as GitHub's REST API prints them. Pure: no git, no HTTP. */
import { type Commit, type FileChange } from "../commits.ts";
import { type Repository } from "../repositories.ts";
import { type Account } from "../state.ts";
import { accountShape, commitNodeId, fullName } from "./shapes.ts";

const verification = { verified: false, reason: "unsigned", signature: null, payload: null, verified_at: null };

/** @param accountOf whose address it is, as far as GitHub knows */
export function commitShape(base: string, repository: Repository, commit: Commit, accountOf: (email: string) => Account | null) {
  const user = (email: string) => {
    const account = accountOf(email);
    return account === null ? null : accountShape(base, account);
  };
  const url = `${base}/repos/${fullName(repository)}`;
  const html = `${base}/${fullName(repository)}`;
  const { name, email, date } = commit.author;
  return {
    url: `${url}/commits/${commit.sha}`,
    sha: commit.sha,
    node_id: commitNodeId(commit.sha),
    html_url: `${html}/commit/${commit.sha}`,
    comments_url: `${url}/commits/${commit.sha}/comments`,
    commit: {
      url: `${url}/git/commits/${commit.sha}`,
      author: { name, email, date },
      committer: { ...commit.committer },
      message: commit.message,
      tree: { sha: commit.tree, url: `${url}/git/trees/${commit.tree}` },
      comment_count: 0,
      verification,
    },
    author: user(commit.author.email),
    committer: user(commit.committer.email),
    parents: commit.parents.map((sha) => ({ sha, url: `${url}/commits/${sha}`, html_url: `${html}/commit/${sha}` })),
  };
}

export function fileShape(base: string, repository: Repository, sha: string, file: FileChange) {
  const path = file.filename.split("/").map(encodeURIComponent).join("/");
  const html = `${base}/${fullName(repository)}`;
  return {
    sha: file.blob,
    filename: file.filename,
    status: file.status,
    additions: file.additions,
    deletions: file.deletions,
    changes: file.additions + file.deletions,
    blob_url: `${html}/blob/${sha}/${path}`,
    raw_url: `${html}/raw/${sha}/${path}`,
    contents_url: `${base}/repos/${fullName(repository)}/contents/${path}?ref=${sha}`,
    ...(file.previous === null ? {} : { previous_filename: file.previous }),
  };
}
