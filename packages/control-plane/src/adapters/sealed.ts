/** Seals texts that the database keeps for us, so that a copy of the database alone gives none of them away. AES-GCM, a fresh nonce each. */

const encoder = new TextEncoder();
const nonceBytes = 12;

export interface Sealer {
  seal(text: string): Promise<string>;
  /** @throws when it was sealed with another secret, or was changed */
  open(sealed: string): Promise<string>;
}

/** @param purpose what is sealed for one purpose cannot be opened for another */
export function createSealer(secret: string, purpose: string): Sealer {
  let key: Promise<CryptoKey> | undefined;
  const keyOf = async (): Promise<CryptoKey> => {
    const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, ["deriveKey"]);
    const derivation = {
      name: "HKDF",
      hash: "SHA-256",
      salt: new Uint8Array(0),
      info: encoder.encode(`open-inspect ${purpose} 1`),
    };
    return crypto.subtle.deriveKey(derivation, material, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  };
  const loaded = () => {
    key ??= keyOf();
    return key;
  };
  return {
    async seal(text) {
      const iv = crypto.getRandomValues(new Uint8Array(nonceBytes));
      const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await loaded(), encoder.encode(text)));
      return btoa(String.fromCharCode(...iv, ...sealed));
    },
    async open(sealed) {
      const bytes = Uint8Array.from(atob(sealed), (char) => char.charCodeAt(0));
      const algorithm = { name: "AES-GCM", iv: bytes.subarray(0, nonceBytes) };
      return new TextDecoder().decode(await crypto.subtle.decrypt(algorithm, await loaded(), bytes.subarray(nonceBytes)));
    },
  };
}
