/** A git credential for a sandbox's one repository, asked for over its bridge. Never stored, never logged. */
import { createFailure } from "../domain/failures.ts";
import { type GitHub, type Log } from "../domain/ports.ts";

export async function gitCredential(
  github: GitHub,
  repository: { owner: string; name: string; installationId: number } | null,
  log: Log,
): Promise<{ username: string; password: string } | { refused: string }> {
  if (!repository) return { refused: createFailure("internal").message };
  const result = await github.readToken(repository, repository.installationId);
  if (result.ok) return { username: "x-access-token", password: result.value.token };
  log.warn("credential.refused", { kind: result.error.kind, message: result.error.message });
  const { message, hint } = createFailure("credentials_refused");
  return { refused: `${message} ${hint} (${result.error.message})` };
}
