/**
 * Tokens that a sandbox proves itself by: `<owner id>.<attempt>.<hex>`, the last part a MAC over purpose, owner and attempt.
 * Nothing of them is stored, a retried start hands over the same token, and a forged one is refused without asking an object.
 * Whether the attempt still lives is the object's to say.
 */
import { buildIdSchema, sessionIdSchema } from "@open-inspect/protocol";

/** The bridge's token stays with the supervisor; the model's is all that the agent gets. */
export type TokenPurpose = "bridge" | "model";
export interface TokenClaim {
  ownerId: string;
  attempt: string;
}

const encoder = new TextEncoder();

async function importKey(secret: string): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

const statement = (purpose: TokenPurpose, { ownerId, attempt }: TokenClaim): Uint8Array =>
  encoder.encode(`open-inspect sandbox token 1\n${purpose}\n${ownerId}\n${attempt}`);

export async function mintToken(secret: string, purpose: TokenPurpose, claim: TokenClaim): Promise<string> {
  const mac = await crypto.subtle.sign("HMAC", await importKey(secret), statement(purpose, claim));
  const hex = Array.from(new Uint8Array(mac), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${claim.ownerId}.${claim.attempt}.${hex}`;
}

/** The claim of a genuine token, else null. Compares in constant time. */
export async function verifyToken(secret: string, purpose: TokenPurpose, token: string): Promise<TokenClaim | null> {
  const match = /^([a-z]{3}_[a-z0-9]{26})\.([0-9a-f]{32})\.([0-9a-f]{64})$/.exec(token);
  if (!match) return null;
  const [, ownerId = "", attempt = "", hex = ""] = match;
  if (!buildIdSchema.safeParse(ownerId).success && !sessionIdSchema.safeParse(ownerId).success) return null;
  const mac = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const genuine = await crypto.subtle.verify("HMAC", await importKey(secret), mac, statement(purpose, { ownerId, attempt }));
  return genuine ? { ownerId, attempt } : null;
}
