/** The shapes of Modal's ids, which the SDK interprets. Pure but for the randomness. */
import { randomBytes } from "node:crypto";

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const lowercase = "0123456789abcdefghjkmnpqrstvwxyz";

function random(alphabet: string, length: number): string {
  let out = "";
  // bytes beyond the last whole multiple of the alphabet would favour its first letters
  const limit = 256 - (256 % alphabet.length);
  while (out.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < limit && out.length < length) out += alphabet[byte % alphabet.length];
    }
  }
  return out;
}

export const newAppId = () => `ap-${random(base62, 22)}`;
export const newEnvironmentId = () => `en-${random(base62, 22)}`;
export const newImageId = () => `im-${random(base62, 22)}`;
export const newSecretId = () => `st-${random(base62, 22)}`;
export const newTaskId = () => `ta-${random(base62, 22)}`;
/** The SDK takes exactly 22 base62 characters for a V1 sandbox and everything else for V2. */
export const newSandboxId = (version: "v1" | "v2") =>
  version === "v1" ? `sb-${random(base62, 22)}` : `sb-${random(lowercase, 26)}`;
