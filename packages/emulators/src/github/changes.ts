/**
 * What a person does to a repository, an installation or their own login in GitHub's settings: rename, transfer, archive, delete, choose
 * what the app sees, suspend it, take it off, take the authorization back. Changes the state and says which event GitHub would send. Does not know HTTP.
 */
import { z } from "zod";
import { type AppTokens } from "./app-tokens.ts";
import {
  type ChangeEvent,
  grantEvent,
  installationEvent,
  type RepositoryAction,
  repositoryEvent,
  revokedEvent,
} from "./change-events.ts";
import { type Person } from "./people.ts";
import { type Repositories, type Repository } from "./repositories.ts";
import { type ApiPorts } from "./rest/answers.ts";
import { type Account, type StateFile } from "./state.ts";
import { type UserTokens } from "./user-tokens.ts";

/** One change at a time, as in GitHub's settings. */
export const repositoryChangeSchema = z.union([
  z.strictObject({ name: z.string() }),
  z.strictObject({ owner: z.string() }),
  z.strictObject({ archived: z.boolean() }),
  /** whether the app's installation may see it */
  z.strictObject({ granted: z.boolean() }),
]);
export type RepositoryChange = z.infer<typeof repositoryChangeSchema>;
export const installationChangeSchema = z.strictObject({ suspended: z.boolean() });

export interface Changes {
  /** Throws with a sentence when it cannot be. */
  changeRepository(repository: Repository, change: RepositoryChange): Promise<Repository>;
  deleteRepository(repository: Repository): Promise<void>;
  suspend(account: Account, suspended: boolean): Promise<void>;
  /** Takes the app off: its tokens end, and the installation is never found again. */
  uninstall(account: Account): Promise<void>;
  /** Puts the app on again, as another installation. */
  install(account: Account): Promise<void>;
  /** Ends every token that the app has of them. */
  revokeAuthorization(person: Person): Promise<void>;
}

export function createChanges(
  ports: Pick<ApiPorts, "url" | "app" | "personLogin"> & {
    file: StateFile;
    repositories: Repositories;
    tokens: AppTokens;
    userTokens: UserTokens;
    now: () => number;
    send: (event: ChangeEvent) => void;
    /** Resolves when what was pushed until now is announced. */
    announced: () => Promise<void>;
  },
): Changes {
  const { file, repositories } = ports;
  const isHeard = ({ owner, granted }: Repository) => owner.installed && owner.suspendedAt === null && granted;
  const live = ({ id }: Repository): Repository => {
    const found = repositories.list().find((entry) => entry.id === id);
    if (found === undefined) throw new Error("There is no such repository.");
    return found;
  };
  const recordOf = ({ id }: Repository) => {
    const found = file.state.repositories.find((entry) => entry.id === id);
    if (found === undefined) throw new Error("There is no such repository.");
    return found;
  };
  const announce = (action: RepositoryAction, before: Repository, after: Repository) => {
    if (isHeard(after)) ports.send(repositoryEvent(ports, action, after, before));
  };
  const accountOf = ({ id }: Account): Account => {
    const found = file.state.accounts.find((entry) => entry.id === id);
    if (found === undefined) throw new Error("There is no such account.");
    return found;
  };

  return {
    async changeRepository(before, change) {
      if ("archived" in change) {
        recordOf(before).archived = change.archived;
        if (change.archived !== before.archived) announce(change.archived ? "archived" : "unarchived", before, live(before));
      } else if ("granted" in change) {
        recordOf(before).granted = change.granted;
        const after = live(before);
        const isTold = after.owner.installed && after.owner.suspendedAt === null && change.granted !== before.granted;
        if (isTold) ports.send(grantEvent(ports, after));
      } else {
        const to = { owner: before.owner.login, name: before.name, ...change };
        repositories.move(before, to);
        announce("name" in change ? "renamed" : "transferred", before, live(before));
      }
      await file.save();
      return live(before);
    },
    async deleteRepository(repository) {
      // What an announcement says of a push is read from the repository.
      await ports.announced();
      await repositories.remove(repository);
      announce("deleted", repository, repository);
      await file.save();
    },
    async suspend(account, suspended) {
      if (!account.installed) throw new Error(`The app is not installed on ${account.login}.`);
      accountOf(account).suspendedAt = suspended ? ports.now() : null;
      ports.send(installationEvent(ports, suspended ? "suspend" : "unsuspend", accountOf(account)));
      await file.save();
    },
    async uninstall(account) {
      if (!account.installed) throw new Error(`The app is not installed on ${account.login}.`);
      ports.send(installationEvent(ports, "deleted", account));
      Object.assign(accountOf(account), { installed: false, suspendedAt: null });
      await ports.tokens.revokeAll(account.installationId);
      await file.save();
    },
    async install(account) {
      if (account.installed) throw new Error(`The app is installed on ${account.login}.`);
      Object.assign(accountOf(account), { installed: true, installationId: file.nextId() });
      ports.send(installationEvent(ports, "created", accountOf(account)));
      await file.save();
    },
    async revokeAuthorization(person) {
      await ports.userTokens.revokeAll(person.accountId);
      ports.send(revokedEvent(ports, person));
    },
  };
}
