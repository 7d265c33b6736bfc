/** Payloads of GitHub's events about repositories and installations. Pure but for what it is given; sends nothing. */
import { type Identity } from "./access.ts";
import { isoSeconds } from "./commits.ts";
import { type Person } from "./people.ts";
import { installationStub, senderOf } from "./push-event.ts";
import { type Repository } from "./repositories.ts";
import { type ApiPorts } from "./rest/answers.ts";
import { accountShape, fullName, installationShape, nodeId, repositoryShape, selectionOf } from "./rest/shapes.ts";
import { type Account } from "./state.ts";

type Ports = Pick<ApiPorts, "url" | "app" | "personLogin" | "repositories">;

export interface ChangeEvent {
  event: "repository" | "installation" | "installation_repositories" | "pull_request" | "github_app_authorization";
  payload: object;
}
export type RepositoryAction = "renamed" | "transferred" | "archived" | "unarchived" | "deleted";

/** @param from owner and name before the change */
export function repositoryEvent(
  ports: Ports,
  action: RepositoryAction,
  repository: Repository,
  from: { owner: Account; name: string },
): ChangeEvent {
  const { pushedAt, createdAt } = repository;
  const times = { pushed_at: isoSeconds(pushedAt), created_at: isoSeconds(createdAt), updated_at: isoSeconds(pushedAt) };
  const payload = {
    action,
    ...(action === "renamed" ? { changes: { repository: { name: { from: from.name } } } } : {}),
    ...(action === "transferred" ? { changes: { owner: { from: formerOwner(ports, from.owner) } } } : {}),
    repository: { ...repositoryShape(ports.url(), repository, true), ...times },
    sender: senderOf(ports, byPerson(ports)),
    installation: installationStub(repository.owner),
  };
  return { event: "repository", payload };
}

export function installationEvent(
  ports: Ports,
  action: "created" | "deleted" | "suspend" | "unsuspend",
  account: Account,
): ChangeEvent {
  const visible = ports.repositories.list().filter((entry) => entry.ownerId === account.id && entry.granted);
  const payload = {
    action,
    installation: installationOf(ports, account),
    repositories: visible.map(stub),
    ...(action === "created" ? { requester: null } : {}),
    sender: senderOf(ports, byPerson(ports)),
  };
  return { event: "installation", payload };
}

export function grantEvent(ports: Ports, repository: Repository): ChangeEvent {
  const named = [stub(repository)];
  const payload = {
    action: repository.granted ? "added" : "removed",
    installation: installationOf(ports, repository.owner),
    repository_selection: selectionOf(ports.repositories.list(), repository.owner),
    repositories_added: repository.granted ? named : [],
    repositories_removed: repository.granted ? [] : named,
    requester: null,
    sender: senderOf(ports, byPerson(ports)),
  };
  return { event: "installation_repositories", payload };
}

/** A person takes back what they allowed the app to do for them. */
export function revokedEvent(ports: Ports, person: Person): ChangeEvent {
  const payload = { action: "revoked", sender: senderOf(ports, { kind: "user", person }) };
  return { event: "github_app_authorization", payload };
}

const byPerson = (ports: Ports): Identity => ({ kind: "person", login: ports.personLogin });

const stub = (repository: Repository) => ({
  id: repository.id,
  node_id: nodeId("R", repository.id),
  name: repository.name,
  full_name: fullName(repository),
  private: repository.private,
});

function installationOf(ports: Ports, account: Account) {
  const shape = installationShape(ports.url(), account, ports.app, selectionOf(ports.repositories.list(), account));
  return account.suspendedAt === null ? shape : { ...shape, suspended_by: senderOf(ports, byPerson(ports)) };
}

function formerOwner(ports: Ports, account: Account) {
  const shape = accountShape(ports.url(), account);
  if (account.type === "User") return { user: shape };
  const { login, id, node_id, avatar_url, url, repos_url } = shape;
  const own = `${ports.url()}/orgs/${login}`;
  const urls = { url: own, hooks_url: `${own}/hooks`, issues_url: `${own}/issues`, events_url: `${own}/events`, repos_url };
  const members = { members_url: `${own}/members{/member}`, public_members_url: `${own}/public_members{/member}` };
  return { organization: { login, id, node_id, avatar_url, description: null, html_url: url, ...urls, ...members } };
}
