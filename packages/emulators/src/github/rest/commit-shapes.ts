/** Commits, comparisons and changed files as GitHub's REST API prints them. Pure: no git, no HTTP. */
import { type Commit, type FileChange } from "../commits.ts";
import { type Repository } from "../repositories.ts";
import { commitNodeId, fullName } from "./shapes.ts";

const verification = { verified: false, reason: "unsigned", signature: null, payload: null, verified_at: null };

export function commitShape(base: string, repository: Repository, commit: Commit) {
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
    // The emulator knows no accounts by their e-mail address; GitHub says null for such a commit too.
    author: null,
    committer: null,
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
