/** Accounts, repositories and installations as GitHub's REST API and webhooks print them. Pure: no git, no HTTP. */
import { appEvents, appPermissions } from "../app-tokens.ts";
import { isoSeconds } from "../commits.ts";
import { type Repository } from "../repositories.ts";
import { type Account } from "../state.ts";

/** GitHub's newer opaque ids: a type prefix and the number. */
export function nodeId(prefix: string, id: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(id >>> 0);
  return `${prefix}_kgDO${bytes.toString("base64url")}`;
}
/** The number in a node id of this prefix; null when it is none. */
export function idOfNode(prefix: string, node: string): number | null {
  const text = node.startsWith(`${prefix}_kgDO`) ? node.slice(prefix.length + 5) : "";
  const bytes = Buffer.from(text, "base64url");
  return bytes.byteLength === 4 && nodeId(prefix, bytes.readUInt32BE()) === node ? bytes.readUInt32BE() : null;
}
export const commitNodeId = (sha: string) => `C_${Buffer.from(sha, "hex").toString("base64url")}`;

/** `owner/name` as it stands in a URL's path. */
export const fullName = (repository: Repository) => `${repository.owner.login}/${repository.name}`;

export function accountShape(base: string, account: Pick<Account, "id" | "login" | "type">) {
  const url = `${base}/users/${account.login}`;
  return {
    login: account.login,
    id: account.id,
    node_id: nodeId(account.type === "User" ? "U" : "O", account.id),
    avatar_url: `${base}/avatars/${account.id}`,
    gravatar_id: "",
    url,
    html_url: `${base}/${account.login}`,
    followers_url: `${url}/followers`,
    following_url: `${url}/following{/other_user}`,
    gists_url: `${url}/gists{/gist_id}`,
    starred_url: `${url}/starred{/owner}{/repo}`,
    subscriptions_url: `${url}/subscriptions`,
    organizations_url: `${url}/orgs`,
    repos_url: `${url}/repos`,
    events_url: `${url}/events{/privacy}`,
    received_events_url: `${url}/received_events`,
    type: account.type,
    user_view_type: "public",
    site_admin: false,
  };
}

/** @param canPush what the asking identity may do, for `permissions` */
export function repositoryShape(base: string, repository: Repository, canPush: boolean) {
  const name = fullName(repository);
  const url = `${base}/repos/${name}`;
  const html = `${base}/${name}`;
  const host = new URL(base).host;
  return {
    id: repository.id,
    node_id: nodeId("R", repository.id),
    name: repository.name,
    full_name: name,
    private: repository.private,
    owner: accountShape(base, repository.owner),
    html_url: html,
    description: null,
    fork: false,
    url,
    archive_url: `${url}/{archive_format}{/ref}`,
    assignees_url: `${url}/assignees{/user}`,
    blobs_url: `${url}/git/blobs{/sha}`,
    branches_url: `${url}/branches{/branch}`,
    collaborators_url: `${url}/collaborators{/collaborator}`,
    comments_url: `${url}/comments{/number}`,
    commits_url: `${url}/commits{/sha}`,
    compare_url: `${url}/compare/{base}...{head}`,
    contents_url: `${url}/contents/{+path}`,
    contributors_url: `${url}/contributors`,
    deployments_url: `${url}/deployments`,
    downloads_url: `${url}/downloads`,
    events_url: `${url}/events`,
    forks_url: `${url}/forks`,
    git_commits_url: `${url}/git/commits{/sha}`,
    git_refs_url: `${url}/git/refs{/sha}`,
    git_tags_url: `${url}/git/tags{/sha}`,
    git_url: `git://${host}/${name}.git`,
    hooks_url: `${url}/hooks`,
    issue_comment_url: `${url}/issues/comments{/number}`,
    issue_events_url: `${url}/issues/events{/number}`,
    issues_url: `${url}/issues{/number}`,
    keys_url: `${url}/keys{/key_id}`,
    labels_url: `${url}/labels{/name}`,
    languages_url: `${url}/languages`,
    merges_url: `${url}/merges`,
    milestones_url: `${url}/milestones{/number}`,
    notifications_url: `${url}/notifications{?since,all,participating}`,
    pulls_url: `${url}/pulls{/number}`,
    releases_url: `${url}/releases{/id}`,
    ssh_url: `git@${host}:${name}.git`,
    stargazers_url: `${url}/stargazers`,
    statuses_url: `${url}/statuses/{sha}`,
    subscribers_url: `${url}/subscribers`,
    subscription_url: `${url}/subscription`,
    svn_url: html,
    tags_url: `${url}/tags`,
    teams_url: `${url}/teams`,
    trees_url: `${url}/git/trees{/sha}`,
    clone_url: `${html}.git`,
    mirror_url: null,
    homepage: null,
    language: null,
    forks: 0,
    forks_count: 0,
    stargazers_count: 0,
    watchers: 0,
    watchers_count: 0,
    size: 0,
    default_branch: repository.defaultBranch,
    open_issues: 0,
    open_issues_count: 0,
    is_template: false,
    topics: [],
    has_issues: true,
    has_projects: false,
    has_wiki: false,
    has_pages: false,
    has_downloads: true,
    has_discussions: false,
    archived: repository.archived,
    disabled: false,
    visibility: repository.private ? ("private" as const) : ("public" as const),
    pushed_at: isoSeconds(repository.pushedAt),
    created_at: isoSeconds(repository.createdAt),
    updated_at: isoSeconds(repository.pushedAt),
    license: null,
    permissions: { admin: false, maintain: false, push: canPush, triage: false, pull: true },
  };
}

/** Whether the owner lets the app see all of their repositories. */
export const selectionOf = (repositories: readonly Repository[], account: Account) =>
  repositories.some((entry) => entry.ownerId === account.id && !entry.granted) ? "selected" : "all";

export function installationShape(
  base: string,
  account: Account,
  app: { id: number; slug: string; clientId: string },
  selection: "all" | "selected" = "all",
) {
  const settings = account.type === "User" ? "settings" : `organizations/${account.login}/settings`;
  return {
    id: account.installationId,
    client_id: app.clientId,
    account: accountShape(base, account),
    repository_selection: selection,
    access_tokens_url: `${base}/app/installations/${account.installationId}/access_tokens`,
    repositories_url: `${base}/installation/repositories`,
    html_url: `${base}/${settings}/installations/${account.installationId}`,
    app_id: app.id,
    app_slug: app.slug,
    target_id: account.id,
    target_type: account.type,
    permissions: appPermissions,
    events: appEvents,
    created_at: isoSeconds(account.createdAt),
    updated_at: isoSeconds(account.createdAt),
    single_file_name: null,
    has_multiple_single_files: false,
    single_file_paths: [],
    suspended_by: null,
    suspended_at: account.suspendedAt === null ? null : isoSeconds(account.suspendedAt),
  };
}
