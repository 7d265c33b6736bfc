/** Pull requests as GitHub's REST API and webhooks print them. Pure: what git says of them is given. */
import { isoSeconds } from "../commits.ts";
import { type Repository } from "../repositories.ts";
import { type PullRecord } from "../state.ts";
import { accountShape, fullName, nodeId, repositoryShape } from "./shapes.ts";

/** What git says of a pull request. */
export interface PullCounts {
  commits: number;
  additions: number;
  deletions: number;
  changedFiles: number;
  mergeable: boolean | null;
}

/** As lists print it. @param user whoever opened it, as an account */
export function pullShape(base: string, repository: Repository, pull: PullRecord, user: object) {
  const api = `${base}/repos/${fullName(repository)}`;
  const url = `${api}/pulls/${pull.number}`;
  const issue = `${api}/issues/${pull.number}`;
  const html = `${base}/${fullName(repository)}/pull/${pull.number}`;
  const urls = {
    url,
    html_url: html,
    diff_url: `${html}.diff`,
    patch_url: `${html}.patch`,
    issue_url: issue,
    commits_url: `${url}/commits`,
    review_comments_url: `${url}/comments`,
    review_comment_url: `${api}/pulls/comments{/number}`,
    comments_url: `${issue}/comments`,
    statuses_url: `${api}/statuses/${pull.headSha}`,
  };
  const end = (ref: string, sha: string) => ({
    label: `${repository.owner.login}:${ref}`,
    ref,
    sha,
    user: accountShape(base, repository.owner),
    repo: { ...repositoryShape(base, repository, true) },
  });
  const link = (href: string) => ({ href });
  return {
    ...urls,
    id: pull.id,
    node_id: nodeId("PR", pull.id),
    number: pull.number,
    state: pull.state,
    locked: false,
    active_lock_reason: null,
    title: pull.title,
    body: pull.body,
    user,
    labels: [],
    milestone: null,
    assignee: null,
    assignees: [],
    requested_reviewers: [],
    requested_teams: [],
    draft: pull.draft,
    created_at: isoSeconds(pull.createdAt),
    updated_at: isoSeconds(pull.updatedAt),
    closed_at: pull.closedAt === null ? null : isoSeconds(pull.closedAt),
    merged_at: pull.mergedAt === null ? null : isoSeconds(pull.mergedAt),
    merge_commit_sha: pull.mergeSha,
    head: end(pull.head, pull.headSha),
    base: end(pull.base, pull.baseSha),
    author_association: pull.byApp ? "CONTRIBUTOR" : pull.accountId === null ? "OWNER" : "MEMBER",
    auto_merge: null,
    _links: {
      self: link(url),
      html: link(html),
      issue: link(issue),
      comments: link(urls.comments_url),
      review_comments: link(urls.review_comments_url),
      review_comment: link(urls.review_comment_url),
      commits: link(urls.commits_url),
      statuses: link(urls.statuses_url),
    },
  };
}

/** As a single answer and webhooks print it. @param mergedBy whoever merges here */
export function fullPullShape(
  base: string,
  repository: Repository,
  pull: PullRecord,
  user: object,
  counts: PullCounts,
  mergedBy: object,
) {
  const { commits, additions, deletions, changedFiles, mergeable } = counts;
  const state = { true: "clean", false: "dirty", null: "unknown" }[`${mergeable}`];
  return {
    ...pullShape(base, repository, pull, user),
    merged: pull.mergedAt !== null,
    merged_by: pull.mergedAt === null ? null : mergedBy,
    mergeable,
    rebaseable: mergeable,
    mergeable_state: pull.draft ? "draft" : state,
    comments: 0,
    review_comments: 0,
    maintainer_can_modify: false,
    commits,
    additions,
    deletions,
    changed_files: changedFiles,
  };
}
