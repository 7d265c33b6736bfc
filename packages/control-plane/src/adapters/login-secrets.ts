/** The random numbers of a login, and what is kept or told of them in their place. */

const secretBytes = 32;

const toBase64Url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");

const sha256 = async (text: string): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

/** 256 random bits in the letters of addresses and cookies. */
export const newSecret = (): string => toBase64Url(crypto.getRandomValues(new Uint8Array(secretBytes)));
export const isSecret = (text: string): boolean => /^[A-Za-z0-9_-]{43}$/.test(text);

/** What the database knows a secret by. */
export const hashOf = async (secret: string): Promise<string> =>
  Array.from(await sha256(secret), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** What GitHub is told of a PKCE verifier in advance. */
export const challengeOf = async (verifier: string): Promise<string> => toBase64Url(await sha256(verifier));
