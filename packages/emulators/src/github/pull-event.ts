/** The payload of GitHub's pull_request events. Reads git, sends nothing. */
import { type Identity } from "./access.ts";
import { type ChangeEvent } from "./change-events.ts";
import { countCommits, diffFiles, mergeBase } from "./commits.ts";
import { type Actor, owningPerson, type PullAction, type Pulls } from "./pulls.ts";
import { installationStub, senderOf } from "./push-event.ts";
import { type Repository } from "./repositories.ts";
import { type ApiPorts } from "./rest/answers.ts";
import { fullPullShape } from "./rest/pull-shapes.ts";
import { repositoryShape } from "./rest/shapes.ts";
import { type PullRecord } from "./state.ts";

type Ports = Pick<ApiPorts, "url" | "app" | "personLogin" | "git" | "repositories" | "people"> & {
  pulls: Pick<Pulls, "mergeable">;
};

/** As GitHub names accounts; also whoever opened a pull request. */
export const accountOf = (ports: Omit<Ports, "git" | "pulls">, { byApp, accountId }: Actor) => {
  const token = { hash: "", installationId: 0, repositoryIds: null, permissions: {}, expiresAt: 0 };
  const user = accountId === null ? null : ports.people.byAccount(accountId);
  const person: Identity = user === null ? { kind: "person", login: ports.personLogin } : { kind: "user", person: user };
  return senderOf(ports, byApp ? { kind: "installation", token } : person);
};
export const actorOf = (identity: Identity): Actor => ({
  byApp: identity.kind === "installation",
  accountId: identity.kind === "user" ? identity.person.accountId : null,
});

/** One pull request as a whole. @param tried whether git is asked if it could be merged; webhooks say that later, or never */
export async function printPull(ports: Ports, repository: Repository, pull: PullRecord, tried: boolean) {
  const { git } = ports;
  const gitDir = ports.repositories.gitDir(repository);
  const common = (await mergeBase(git, gitDir, pull.baseSha, pull.headSha)) ?? pull.baseSha;
  const files = await diffFiles(git, gitDir, common, pull.headSha);
  const sum = (key: "additions" | "deletions") => files.reduce((total, file) => total + file[key], 0);
  const counts = {
    commits: await countCommits(git, gitDir, [`${common}..${pull.headSha}`]),
    additions: sum("additions"),
    deletions: sum("deletions"),
    changedFiles: files.length,
    mergeable: tried && pull.state === "open" ? await ports.pulls.mergeable(repository, pull) : null,
  };
  return fullPullShape(ports.url(), repository, pull, accountOf(ports, pull), counts, accountOf(ports, owningPerson));
}

/** @param pull as it was right after the change */
export async function pullEvent(
  ports: Ports,
  repository: Repository,
  pull: PullRecord,
  happened: PullAction,
  by: Actor,
): Promise<ChangeEvent> {
  const payload = {
    number: pull.number,
    pull_request: await printPull(ports, repository, pull, false),
    repository: repositoryShape(ports.url(), repository, true),
    sender: accountOf(ports, by),
    installation: installationStub(repository.owner),
  };
  return { event: "pull_request", payload: { ...happened, ...payload } };
}
