/** Ids and the few scalar shapes that every message shares. Pure: time and randomness are passed in. */
import { z } from "zod";

/** Crockford base32, lower case: sorts by time, survives being read aloud. */
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const timeDigits = 10;
const randomDigits = 16;

export const idPrefixes = { build: "bld", image: "img", session: "ses", prompt: "prm" } as const;
export type IdKind = keyof typeof idPrefixes;

const idSchema = <K extends IdKind>(kind: K) =>
  z.string().regex(new RegExp(`^${idPrefixes[kind]}_[${alphabet}]{${timeDigits + randomDigits}}$`), {
    error: `must be an id of a ${kind}, like ${idPrefixes[kind]}_01k…`,
  });

export const buildIdSchema = idSchema("build");
export const imageIdSchema = idSchema("image");
export const sessionIdSchema = idSchema("session");
export const promptIdSchema = idSchema("prompt");

/**
 * Makes an id that sorts by creation time.
 * @param now milliseconds since the epoch
 * @param random 16 random bytes; only the low five bits of each are used
 */
export function createId(kind: IdKind, now: number, random: Uint8Array): string {
  let time = "";
  for (let rest = now, digit = 0; digit < timeDigits; digit++, rest = Math.floor(rest / 32)) {
    time = alphabet[rest % 32] + time;
  }
  let tail = "";
  for (let index = 0; index < randomDigits; index++) tail += alphabet[(random[index] ?? 0) & 31];
  return `${idPrefixes[kind]}_${time}${tail}`;
}

/** A git commit id: 40 lower-case hex digits. */
export const shaSchema = z.string().regex(/^[0-9a-f]{40}$/, { error: "must be a full commit id of 40 hex digits" });

/** A SHA-256: 64 lower-case hex digits. */
export const digestSchema = z.string().regex(/^[0-9a-f]{64}$/, { error: "must be a SHA-256 of 64 hex digits" });
/** A path inside a repository, with forward slashes. */
export const repositoryPathSchema = z.string().min(1).max(4_096);

/** GitHub's rules for the two halves of `owner/name`. */
export const ownerSchema = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})$/, { error: "must be a GitHub account name" });
export const repositoryNameSchema = z
  .string()
  .regex(/^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/, { error: "must be a GitHub repository name" });

/** A repository by its full name. GitHub compares both halves without regard to case; so do we. */
export const repositoryRefSchema = z.object({ owner: ownerSchema, name: repositoryNameSchema });
export type RepositoryRef = z.infer<typeof repositoryRefSchema>;

/** A branch name that git accepts and that is safe as a single argument (never starts with a dash). */
export const branchSchema = z
  .string()
  .min(1)
  .max(255)
  .refine(
    (name) => !/^[-/.]|[\s~^:?*[\\\u0000-\u001f\u007f]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)|[/.]$/.test(name) && name !== "@",
    { error: "must be a valid git branch name" },
  );

/** Milliseconds since the epoch. */
export const timestampSchema = z.number().int().nonnegative();
/** A duration in milliseconds. */
export const durationMsSchema = z.number().nonnegative();
