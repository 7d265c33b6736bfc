/** The people who can log in to the emulated GitHub, and which repositories each of them may see and push to. Does not know HTTP or tokens. */
import { type Repository } from "./repositories.ts";
import { type Account, type Granted, type PersonRecord, type StateFile } from "./state.ts";

export interface SeededPerson {
  /** above what the emulator numbers by itself */
  id: number;
  login: string;
  name: string | null;
  email: string | null;
  access: Granted[];
}
export interface Person extends PersonRecord {
  readonly account: Account;
}

const allOf = (owner: string): Granted => ({ owner, repositoryId: null, push: true });
export const seededPeople: readonly SeededPerson[] = [
  {
    ...{ id: 7_000_001, login: "octo-dev", name: "Octavia Developer", email: "octavia@example.com" },
    access: [allOf("acme")],
  },
  { id: 7_000_002, login: "mona", name: "Mona Lisa", email: null, access: [allOf("acme")] },
  { id: 7_000_003, login: "stranger", name: null, email: null, access: [] },
];

export interface People {
  list(): Person[];
  find(login: string): Person | null;
  byAccount(accountId: number): Person | null;
  /** What they may do to it; null: to them a private one does not exist. */
  levelOf(accountId: number, repository: Repository): "read" | "push" | null;
  setAccess(person: Person, access: Granted[]): Promise<void>;
}

/** @param seeds made once; what became of them is kept */
export function createPeople(ports: { file: StateFile; seeds: readonly SeededPerson[]; now: () => number }): People {
  const { file } = ports;
  const { state } = file;
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
  for (const { id, login, ...profile } of ports.seeds) {
    let account = state.accounts.find((entry) => same(entry.login, login));
    if (account === undefined) {
      const installation = { installationId: file.nextId(), installed: true, suspendedAt: null };
      account = { id, login, type: "User", createdAt: ports.now(), ...installation };
      state.accounts.push(account);
    }
    const { id: accountId } = account;
    if (!state.people.some((entry) => entry.accountId === accountId)) state.people.push({ accountId, ...profile });
  }

  const withAccount = (record: PersonRecord): Person => {
    const account = state.accounts.find((entry) => entry.id === record.accountId);
    if (account === undefined) throw new Error(`Person ${record.accountId} has no account in state.json.`);
    return { ...record, account };
  };
  const list = () => state.people.map(withAccount);
  return {
    list,
    find: (login) => list().find((person) => same(person.account.login, login)) ?? null,
    byAccount: (accountId) => list().find((person) => person.accountId === accountId) ?? null,
    levelOf(accountId, repository) {
      if (repository.ownerId === accountId) return "push";
      const record = state.people.find((entry) => entry.accountId === accountId);
      const granted = record?.access.filter(({ owner, repositoryId }) =>
        repositoryId === null ? same(owner, repository.owner.login) : repositoryId === repository.id,
      );
      if (granted === undefined || granted.length === 0) return null;
      return granted.some(({ push }) => push) ? "push" : "read";
    },
    async setAccess({ accountId }, access) {
      const record = state.people.find((entry) => entry.accountId === accountId);
      if (record === undefined) throw new Error("There is no such person.");
      record.access = access;
      await file.save();
    },
  };
}
