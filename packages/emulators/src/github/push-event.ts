/** The payload of GitHub's push event for one changed ref. Reads git, sends nothing. */
import { type Identity } from "./access.ts";
import { type Commit, changedNames, isoSeconds, readCommits } from "./commits.ts";
import { type RefChange, type Repositories, type Repository } from "./repositories.ts";
import { type ApiPorts } from "./rest/answers.ts";
import { accountShape, fullName, repositoryShape } from "./rest/shapes.ts";
import { type Account } from "./state.ts";

const commitsMax = 2048;
const namesMax = 3000;
const nowhere = "0".repeat(40);

/** Who did something, as webhooks name them. */
export function senderOf(ports: Pick<ApiPorts, "url" | "app" | "personLogin" | "repositories">, identity: Identity) {
  if (identity.kind === "installation") {
    const login = `${ports.app.slug}[bot]`;
    const shape = accountShape(ports.url(), { id: ports.app.id, login: encodeURIComponent(login), type: "User" });
    return { ...shape, login, type: "Bot" };
  }
  if (identity.kind === "user") return accountShape(ports.url(), identity.person.account);
  const person = { id: 1000, login: ports.personLogin, type: "User" } as const;
  return accountShape(ports.url(), ports.repositories.findAccount(ports.personLogin) ?? person);
}

/** The installation that an event belongs to, as most events name it. */
export const installationStub = ({ installationId: id }: Account) => ({
  id,
  node_id: Buffer.from(`023:IntegrationInstallation${id}`).toString("base64"),
});

/** @param others ids that the repository's other branches had before the push: what they hold is not new */
export async function pushEvent(
  ports: Pick<ApiPorts, "url" | "app" | "personLogin" | "git" | "now"> & { repositories: Repositories },
  push: { repository: Repository; change: RefChange; identity: Identity; others: string[] },
): Promise<object> {
  const { repository, change, identity } = push;
  const gitDir = ports.repositories.gitDir(repository);
  const html = `${ports.url()}/${fullName(repository)}`;
  const read = (range: string[]) => readCommits(ports.git, gitDir, range);

  const { before, after } = change;
  let commits: Commit[] = [];
  let head: Commit | undefined;
  let forced = false;
  if (after !== null) {
    const old = before === null ? push.others : [before];
    commits = (await read([`--max-count=${commitsMax}`, after, ...old.map((sha) => `^${sha}`)])).reverse();
    // The newest comes first and is what the ref points at, unless all that it holds is old.
    head = commits.at(-1) ?? (await read(["-1", after]))[0];
    // What only adds to a branch has, among what it added, a child of where the branch was.
    if (before !== null && !commits.some(({ parents }) => parents.includes(before))) {
      const kept = await ports.git.run([`--git-dir=${gitDir}`, "merge-base", "--is-ancestor", before, after]);
      forced = kept.code !== 0;
    }
  }
  const listed = head && !commits.some((commit) => commit.sha === head?.sha) ? [...commits, head] : commits;
  const names = await changedNames(
    ports.git,
    gitDir,
    listed.map((commit) => commit.sha),
  );
  const shape = (commit: Commit) => {
    const { added = [], removed = [], modified = [] } = names.get(commit.sha) ?? {};
    return {
      id: commit.sha,
      tree_id: commit.tree,
      distinct: !push.others.includes(commit.sha),
      message: commit.message,
      timestamp: commit.committer.date,
      url: `${html}/commit/${commit.sha}`,
      author: { ...commit.author },
      committer: { ...commit.committer },
      added: added.slice(0, namesMax),
      removed: removed.slice(0, namesMax),
      modified: modified.slice(0, namesMax),
    };
  };
  const branch = change.ref.replace(/^refs\/(heads|tags)\//, "");
  const span = before !== null && after !== null ? `${before.slice(0, 12)}...${after.slice(0, 12)}` : branch;
  const sender = senderOf(ports, identity);
  const seconds = (at: number) => Math.floor(at / 1000);
  return {
    ref: change.ref,
    before: before ?? nowhere,
    after: after ?? nowhere,
    repository: {
      ...repositoryShape(ports.url(), repository, false),
      url: html,
      created_at: seconds(repository.createdAt),
      pushed_at: seconds(repository.pushedAt),
      updated_at: isoSeconds(repository.pushedAt),
      master_branch: repository.defaultBranch,
      stargazers: 0,
    },
    pusher: { name: sender.login, email: null },
    sender,
    installation: installationStub(repository.owner),
    created: before === null,
    deleted: after === null,
    forced,
    base_ref: null,
    compare: `${html}/compare/${span}`,
    commits: commits.map(shape),
    head_commit: head ? shape(head) : null,
  };
}
