/** The secrets of a local installation: made once per data folder, kept in one 0600 file, never printed but for the person's push token. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const credentialsSchema = z.object({
  githubAppId: z.number().int(),
  githubAppPrivateKey: z.string(),
  githubWebhookSecret: z.string(),
  /** the GitHub App's login of people */
  githubClientId: z.string(),
  githubClientSecret: z.string(),
  modalApiSecret: z.string(),
  modalTokenId: z.string(),
  modalTokenSecret: z.string(),
  modelApiKey: z.string(),
  /** opens the emulated GitHub's failure injection, which sandboxes could reach otherwise */
  emulatorAdminToken: z.string(),
  person: z.object({ login: z.string(), token: z.string() }),
});
export type Credentials = z.infer<typeof credentialsSchema>;

export function loadCredentials(dataDir: string): Credentials {
  const path = join(dataDir, "credentials.json");
  const secret = () => randomBytes(24).toString("base64url");
  const client = {
    githubClientId: `Iv23li${randomBytes(7).toString("hex")}`,
    githubClientSecret: randomBytes(20).toString("hex"),
  };
  try {
    const found: unknown = JSON.parse(readFileSync(path, "utf8"));
    // A folder of an earlier version has no client of the login yet.
    const kept = credentialsSchema.parse(Object.assign({}, client, found));
    if (kept.githubClientSecret === client.githubClientSecret) write(path, kept);
    return kept;
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || error.code !== "ENOENT") throw error;
  }
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const made: Credentials = {
    ...client,
    githubAppId: 100_001,
    githubAppPrivateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    githubWebhookSecret: secret(),
    modalApiSecret: secret(),
    modalTokenId: `ak-${randomBytes(8).toString("hex")}`,
    modalTokenSecret: `as-${secret()}`,
    modelApiKey: `sk-local-${secret()}`,
    emulatorAdminToken: secret(),
    person: { login: "developer", token: `ghp_${randomBytes(18).toString("hex")}` },
  };
  mkdirSync(dataDir, { recursive: true });
  write(path, made);
  return made;
}

function write(path: string, credentials: Credentials): void {
  writeFileSync(path, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600 });
  chmodSync(path, 0o600);
}
