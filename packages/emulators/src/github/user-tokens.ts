/**
 * What an authorization of the GitHub App turns into: a code, then pairs of an access token and a refresh token. Kept as hashes, codes in
 * memory only. Does not know HTTP, or what a person may do.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { hashToken } from "./app-tokens.ts";
import { type StateFile, type UserTokenRecord } from "./state.ts";

const codeLifetimeMs = 10 * 60 * 1000;
const accessLifetimeMs = 8 * 60 * 60 * 1000;
/** Half a year, as GitHub counts it. */
const refreshLifetimeMs = 184 * 24 * 60 * 60 * 1000;
const codesMax = 1000;

export interface TokenPair {
  accessToken: string;
  refreshToken: string;
  expiresInSeconds: number;
  refreshExpiresInSeconds: number;
}
/** What was agreed on the authorization's page. */
interface Agreement {
  accountId: number;
  redirectUri: string;
  /** S256 of the verifier, base64url; null: the client uses none */
  challenge: string | null;
}
export type Exchange = { pair: TokenPair } | { refused: "bad_verification_code" | "redirect_uri_mismatch" };

export interface UserTokens {
  issueCode(agreement: Agreement): string;
  /** Good once: the second time ends what the first one gave. */
  exchange(code: string, given: { redirectUri?: string; verifier?: string }): Promise<Exchange>;
  /** A new pair; the one before it ends. null: there is no such refresh token any more. */
  refresh(refreshToken: string): Promise<TokenPair | null>;
  /** The living access token with this hash. */
  find(hash: string): UserTokenRecord | null;
  /** Ends an access token and the refresh token that came with it. */
  revoke(token: UserTokenRecord): Promise<void>;
  /** Takes the whole authorization of a person back. */
  revokeAll(accountId: number): Promise<void>;
  /** As if the hours had passed: access tokens end, refresh tokens do not. */
  expireAll(accountId: number): Promise<void>;
  /** For the tokens from now on. */
  setAccessLifetime(lifetimeMs: number): void;
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
function random(length: number): string {
  // 248 is the last multiple of 62 in a byte: each character is as likely as the others.
  let text = "";
  while (text.length < length) for (const byte of randomBytes(length)) if (byte < 248) text += alphabet[byte % 62];
  return text.slice(0, length);
}
const challengeOf = (verifier: string) => createHash("sha256").update(verifier).digest("base64url");
const equal = (a: string, b: string) => timingSafeEqual(Buffer.from(hashToken(a)), Buffer.from(hashToken(b)));

export function createUserTokens(ports: { file: StateFile; now: () => number }): UserTokens {
  const { file, now } = ports;
  const { state } = file;
  /** By the code's hash, oldest first. `family`: it was used. */
  const codes = new Map<string, Agreement & { expiresAt: number; family: number | null }>();
  let lifetimeMs = accessLifetimeMs;
  const keep = async (keeps: (entry: UserTokenRecord) => boolean) => {
    state.userTokens = state.userTokens.filter(keeps);
    await file.save();
  };
  const issue = async (accountId: number, family: number, replaced?: UserTokenRecord): Promise<TokenPair> => {
    const pair = { accessToken: `ghu_${random(36)}`, refreshToken: `ghr_${random(76)}` };
    const at = now();
    // Nothing is awaited between the check and this: of two refreshes at once the second finds its token gone.
    state.userTokens = state.userTokens.filter((entry) => entry !== replaced && entry.refreshExpiresAt > at);
    state.userTokens.push({
      id: file.nextId(),
      accountId,
      family,
      hash: hashToken(pair.accessToken),
      refreshHash: hashToken(pair.refreshToken),
      lastEight: pair.accessToken.slice(-8),
      createdAt: at,
      expiresAt: at + lifetimeMs,
      refreshExpiresAt: at + refreshLifetimeMs,
    });
    await file.save();
    return { ...pair, expiresInSeconds: lifetimeMs / 1000, refreshExpiresInSeconds: refreshLifetimeMs / 1000 };
  };

  return {
    issueCode(agreement) {
      for (const [hash, { expiresAt }] of codes) if (expiresAt <= now() || codes.size >= codesMax) codes.delete(hash);
      const code = randomBytes(10).toString("hex");
      codes.set(hashToken(code), { ...agreement, expiresAt: now() + codeLifetimeMs, family: null });
      return code;
    },
    async exchange(code, { redirectUri, verifier }) {
      const found = codes.get(hashToken(code));
      if (found === undefined || found.expiresAt <= now()) return { refused: "bad_verification_code" };
      if (found.family !== null) {
        await keep((entry) => entry.family !== found.family);
        return { refused: "bad_verification_code" };
      }
      if (redirectUri !== undefined && redirectUri !== found.redirectUri) return { refused: "redirect_uri_mismatch" };
      if (found.challenge !== null && !equal(challengeOf(verifier ?? ""), found.challenge)) {
        return { refused: "bad_verification_code" };
      }
      found.family = file.nextId();
      return { pair: await issue(found.accountId, found.family) };
    },
    async refresh(refreshToken) {
      const hash = hashToken(refreshToken);
      const found = state.userTokens.find((entry) => entry.refreshHash === hash && entry.refreshExpiresAt > now());
      return found === undefined ? null : issue(found.accountId, found.family, found);
    },
    find: (hash) => state.userTokens.find((entry) => entry.hash === hash && entry.expiresAt > now()) ?? null,
    revoke: (token) => keep((entry) => entry.id !== token.id),
    revokeAll(accountId) {
      for (const [hash, entry] of codes) if (entry.accountId === accountId) codes.delete(hash);
      return keep((entry) => entry.accountId !== accountId);
    },
    async expireAll(accountId) {
      for (const entry of state.userTokens) if (entry.accountId === accountId) entry.expiresAt = Math.min(entry.expiresAt, now());
      await file.save();
    },
    setAccessLifetime(asked) {
      lifetimeMs = asked;
    },
  };
}
