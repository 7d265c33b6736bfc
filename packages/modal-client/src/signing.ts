/**
 * Proof that a request to the gateway comes from the control plane and was not changed or replayed on the way.
 * Web Crypto only, so that it runs in workerd and in Node. Knows nothing of HTTP servers, routes or Modal.
 */

/** The headers that carry a request's proof. */
export const signatureHeaders = {
  timestamp: "x-openinspect-timestamp",
  nonce: "x-openinspect-nonce",
  signature: "x-openinspect-signature",
} as const;

/** How far the two clocks may be apart, either way. */
export const signatureWindowMs = 5 * 60_000;

const minimumSecretBytes = 16;
const nonceBytes = 16;
const noncePattern = /^[0-9a-f]{32}$/;
const timestampPattern = /^[0-9]{1,15}$/;
const signaturePattern = /^v1=([0-9a-f]{64})$/;
const encoder = new TextEncoder();

/** An imported HMAC key. Import once, use for every request. */
export type SigningKey = Awaited<ReturnType<typeof importSigningKey>>;

/** What is signed. `target` is path and query exactly as sent; `body` is empty where there is none. */
export interface SignedParts {
  method: string;
  target: string;
  body: Uint8Array<ArrayBuffer>;
}

/** @throws RangeError when the secret is shorter than 16 bytes: such a secret can be guessed. */
export async function importSigningKey(secret: string) {
  const bytes = encoder.encode(secret);
  if (bytes.length < minimumSecretBytes)
    throw new RangeError(`the signing secret must have at least ${minimumSecretBytes} bytes`);
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

/**
 * Makes the three headers for one request. A repetition must be signed again: a nonce is good for one use.
 * @param nowAt milliseconds since the epoch
 * @param random 16 random bytes
 */
export async function sign(
  key: SigningKey,
  parts: SignedParts,
  nowAt: number,
  random: Uint8Array,
): Promise<Record<string, string>> {
  const timestamp = String(Math.trunc(nowAt));
  const nonce = toHex(random.subarray(0, nonceBytes));
  const signature = await crypto.subtle.sign("HMAC", key, await canonical(parts, timestamp, nonce));
  return {
    [signatureHeaders.timestamp]: timestamp,
    [signatureHeaders.nonce]: nonce,
    [signatureHeaders.signature]: `v1=${toHex(new Uint8Array(signature))}`,
  };
}

/** `signature` covers every fault that a stranger can cause; the other two are only told to a holder of the secret. */
export type SignatureRefusal = "unsigned" | "signature" | "clock" | "replay";
export type SignatureVerdict = { valid: true } | { valid: false; refusal: SignatureRefusal };

/** True when the three headers are there and look right: cheap enough to ask before a body is read. */
export function looksSigned(header: (name: string) => string | null | undefined): boolean {
  return (
    timestampPattern.test(header(signatureHeaders.timestamp) ?? "") &&
    noncePattern.test(header(signatureHeaders.nonce) ?? "") &&
    signaturePattern.test(header(signatureHeaders.signature) ?? "")
  );
}

/**
 * Checks one request and uses up its nonce. The signature is compared first and in constant time (`subtle.verify`), so
 * that clock and replay are only ever reported about requests that the holder of the secret really made.
 */
export async function verify(
  key: SigningKey,
  parts: SignedParts,
  header: (name: string) => string | null | undefined,
  nowAt: number,
  nonces: NonceCache,
): Promise<SignatureVerdict> {
  if (!looksSigned(header)) return { valid: false, refusal: "unsigned" };
  const timestamp = header(signatureHeaders.timestamp) ?? "";
  const nonce = header(signatureHeaders.nonce) ?? "";
  const signature = fromHex(signaturePattern.exec(header(signatureHeaders.signature) ?? "")?.[1] ?? "");
  const matches = await crypto.subtle.verify("HMAC", key, signature, await canonical(parts, timestamp, nonce));
  if (!matches) return { valid: false, refusal: "signature" };
  const signedAt = Number(timestamp);
  if (Math.abs(nowAt - signedAt) > signatureWindowMs) return { valid: false, refusal: "clock" };
  return nonces.use(nonce, signedAt, nowAt) ? { valid: true } : { valid: false, refusal: "replay" };
}

/** Remembers which nonces were used. */
export interface NonceCache {
  /** False when the nonce was used before, or when it is too old for that to be known. */
  use(nonce: string, signedAt: number, nowAt: number): boolean;
}

/**
 * A bounded memory of used nonces. When it is full the oldest is dropped and everything signed up to then is refused from
 * there on: the bound can cost a request its life, never let one through twice.
 * @param capacity entries kept; at the default a window of ten minutes holds 160 requests a second
 */
export function createNonceCache(capacity = 100_000): NonceCache {
  const used = new Map<string, number>();
  let floorAt = Number.NEGATIVE_INFINITY;
  return {
    use(nonce, signedAt, nowAt) {
      for (const [oldest, at] of used) {
        if (at >= nowAt - signatureWindowMs && used.size < capacity) break;
        if (at >= nowAt - signatureWindowMs) floorAt = Math.max(floorAt, at);
        used.delete(oldest);
      }
      if (used.has(nonce) || signedAt <= floorAt) return false;
      used.set(nonce, signedAt);
      return true;
    },
  };
}

async function canonical(parts: SignedParts, timestamp: string, nonce: string) {
  const digest = toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", parts.body)));
  return encoder.encode(["v1", parts.method.toUpperCase(), parts.target, digest, timestamp, nonce].join("\n"));
}

function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(hex.length / 2);
  for (let index = 0; index < bytes.length; index++) bytes[index] = Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16);
  return bytes;
}
