/**
 * People who are logged in: found by their cookie, asked after at GitHub when it is time, their tokens kept current. For each person one
 * request at a time speaks with GitHub: a refresh token counts once. Tokens leave here for GitHub alone.
 */
import { z } from "zod";
import { createPeople, type PersonRow } from "./adapters/d1/people.ts";
import { type GitHubLogin, type UserTokens } from "./adapters/github-login.ts";
import { createLog } from "./adapters/log.ts";
import { createSealer, type Sealer } from "./adapters/sealed.ts";
import { gitHubLoginOf } from "./compose.ts";
import { deadlines } from "./domain/deadlines.ts";
import { accessAge, type GitHubUser, isTokenDue } from "./domain/login.ts";
import { type Env, readConfig } from "./env.ts";

const log = createLog({ part: "logins" });
/** between two looks whether another request is done */
const lookMs = 150;

export type Found = { row: PersonRow } | { nobody: "not_logged_in" | "unproven" };
/** What may be done in a person's name; else why not. */
export type Permission = { token: string } | { refused: "logged_out" | "unavailable" };

const tokensSchema = z.object({ access: z.string(), endsAt: z.number().nullable(), refresh: z.string().nullable() });

/** null: this installation offers no login */
export function loginsOf(env: Env) {
  const config = readConfig(env);
  const github = gitHubLoginOf(config);
  return github && createLogins(env, github, config.LOGIN_ACCOUNTS, config.MODAL_API_SECRET);
}
export type Logins = NonNullable<ReturnType<typeof loginsOf>>;

/** The token of a person who is logged in, for a call that begins now. */
export async function tokenOf(env: Env, githubId: number): Promise<Permission> {
  return (await loginsOf(env)?.tokenOf(githubId)) ?? { refused: "logged_out" };
}

function createLogins(env: Env, github: GitHubLogin, accounts: readonly string[], secret: string) {
  const people = createPeople(env.DB);
  const sealerOf = (githubId: number): Sealer => createSealer(secret, `tokens of the GitHub user ${githubId}`);
  const seal = async (githubId: number, tokens: UserTokens) => ({
    sealedTokens: await sealerOf(githubId).seal(JSON.stringify(tokens)),
    tokenEndsAt: tokens.endsAt,
  });
  /** null: they were sealed with another secret */
  async function open({ githubId, sealedTokens }: PersonRow): Promise<UserTokens | null> {
    try {
      return tokensSchema.parse(JSON.parse(await sealerOf(githubId).open(sealedTokens)));
    } catch {
      return null;
    }
  }

  async function end(access: string): Promise<void> {
    const ended = await github.endToken(access);
    if (!ended.ok) log.warn("token.not_ended", { cause: ended.error.message });
  }

  async function forget(row: PersonRow, why: string): Promise<"out"> {
    const gone = await people.forget(row);
    log.info("person.logged_out", { login: row.login, why, gone });
    return "out";
  }

  async function pause(row: PersonRow, cause: string): Promise<"unavailable"> {
    log.warn("github.unavailable", { login: row.login, cause });
    await people.release(row, { retryAt: Date.now() + deadlines.personPauseMs });
    return "unavailable";
  }

  /** Renews the tokens when they are due and asks whether the person may be here. For whoever has the turn. */
  async function ask(first: PersonRow): Promise<"in" | "out" | "unavailable"> {
    let row = first;
    let tokens = await open(row);
    if (!tokens) return forget(row, "the tokens cannot be opened");
    const renew = async (refresh: string): Promise<"done" | "out" | "unavailable"> => {
      const renewed = await github.refresh(refresh);
      if (!renewed.ok) {
        return renewed.error.kind === "refused" ? forget(row, "GitHub refused new tokens") : pause(row, renewed.error.message);
      }
      const saved = await people.renew(row, await seal(row.githubId, renewed.value));
      // A login that came meanwhile has brought newer ones.
      if (!saved) return "unavailable";
      row = saved;
      tokens = renewed.value;
      return "done";
    };
    let isNew = false;
    if (isTokenDue(tokens.endsAt, Date.now())) {
      if (tokens.refresh === null) return forget(row, "the token has ended");
      const outcome = await renew(tokens.refresh);
      if (outcome !== "done") return outcome;
      isNew = true;
    }
    let allowed = await github.mayAccess(tokens.access, accounts);
    // It may have been ended early; a person who takes everything back is refused the refresh as well.
    if (!allowed.ok && allowed.error.kind === "refused" && !isNew && tokens.refresh !== null) {
      const outcome = await renew(tokens.refresh);
      if (outcome !== "done") return outcome;
      allowed = await github.mayAccess(tokens.access, accounts);
    }
    if (!allowed.ok) {
      return allowed.error.kind === "refused" ? forget(row, allowed.error.message) : pause(row, allowed.error.message);
    }
    if (!allowed.value) {
      await end(tokens.access);
      return forget(row, "no access to an installation");
    }
    await people.release(row, { checkedAt: Date.now() });
    return "in";
  }

  /** Asks, or waits for whoever asks already. */
  async function look(row: PersonRow): Promise<PersonRow | "out" | "unavailable"> {
    let current: PersonRow | null = row;
    for (let looks = 0; current && looks < deadlines.personWaitMs / lookMs; looks++) {
      const now = Date.now();
      const isSeen = current !== row && accessAge(current.checkedAt, now) === "fresh";
      if (isSeen && !isTokenDue(current.tokenEndsAt, now)) return current;
      if (current.retryAt > now) return "unavailable";
      if (await people.take(row.githubId, now, now + deadlines.personTurnMs)) {
        // What another one has renewed between the look and the turn is not renewed again.
        const latest = await people.byId(row.githubId);
        const outcome = latest ? await ask(latest) : "out";
        return outcome === "in" ? ((await people.byId(row.githubId)) ?? "out") : outcome;
      }
      await new Promise((resolve) => setTimeout(resolve, lookMs));
      current = await people.byId(row.githubId);
    }
    return current ? "unavailable" : "out";
  }

  return {
    github,
    /** Whoever the cookie's hash stands for. @param background takes what the answer need not wait for */
    async find(hash: string, background: (work: Promise<unknown>) => void): Promise<Found> {
      const row = await people.find(hash, Date.now());
      if (!row) return { nobody: "not_logged_in" };
      const age = accessAge(row.checkedAt, Date.now());
      if (age === "fresh") return { row };
      if (age === "soon") {
        background(look(row).catch((error: unknown) => log.error("look.failed", { error })));
        return { row };
      }
      const seen = await look(row);
      if (seen === "out") return { nobody: "not_logged_in" };
      if (seen !== "unavailable") return { row: seen };
      return age === "due" ? { row } : { nobody: "unproven" };
    },
    async tokenOf(githubId: number): Promise<Permission> {
      const row = await people.byId(githubId);
      if (!row) return { refused: "logged_out" };
      const seen = isTokenDue(row.tokenEndsAt, Date.now()) ? await look(row) : row;
      if (seen === "out") return { refused: "logged_out" };
      // What could not be renewed may have its last minutes still.
      if (seen === "unavailable" && (row.tokenEndsAt ?? 0) <= Date.now()) return { refused: "unavailable" };
      const tokens = await open(seen === "unavailable" ? row : seen);
      return tokens ? { token: tokens.access } : { refused: "logged_out" };
    },
    /** Whether GitHub's word lets them in; their tokens are kept when it does. */
    async logIn(
      user: GitHubUser,
      tokens: UserTokens,
      { hash, replaces }: { hash: string; replaces: string | null },
    ): Promise<void> {
      const now = Date.now();
      const sealed = await seal(user.githubId, tokens);
      const login = { hash, createdAt: now, expiresAt: now + deadlines.loginMs };
      await people.logIn({ ...user, ...sealed, checkedAt: now }, login, replaces);
      log.info("person.logged_in", { login: user.login });
    },
    mayAccess: (access: string) => github.mayAccess(access, accounts),
    end,
    async logOut(hash: string, background: (work: Promise<unknown>) => void): Promise<boolean> {
      const { loggedOut, last } = await people.logOut(hash);
      const tokens = last && (await open(last));
      if (tokens) background(end(tokens.access));
      return loggedOut;
    },
  };
}
