/**
 * Git credentials for a sandbox's one repository, asked for over its bridge. Those that read are shared; one that writes is given for
 * one push and ended with it. Never stored, never logged.
 */
import { createFailure } from "../domain/failures.ts";
import { type GitHub, type Log } from "../domain/ports.ts";

export type Credential = { username: string; password: string } | { refused: string };
interface Target {
  owner: string;
  name: string;
  installationId: number;
}

const username = "x-access-token";

export async function gitCredential(github: GitHub, repository: Target | null, log: Log): Promise<Credential> {
  if (!repository) return { refused: createFailure("internal").message };
  const result = await github.readToken(repository, repository.installationId);
  if (result.ok) return { username, password: result.value.token };
  log.warn("credential.refused", { kind: result.error.kind, message: result.error.message });
  const { message, hint } = createFailure("credentials_refused");
  return { refused: `${message} ${hint} (${result.error.message})` };
}

const overSentence = "No push of this id is under way: ask for the pull request again.";

export function createWriteCredentials(ports: {
  github(): GitHub;
  log: Log;
  /** whether this push of this attempt is the one in flight */
  isInFlight(attempt: string, pushId: string): boolean;
  background(work: Promise<unknown>): void;
}) {
  /** In memory only: what an instance that is gone has given ends by itself within the hour. */
  const given: { attempt: string; pushId: string; token: string }[] = [];
  const isOver = ({ attempt, pushId }: { attempt: string; pushId: string }) => !ports.isInFlight(attempt, pushId);

  const end = (token: string) =>
    ports.background(
      ports
        .github()
        .endToken(token)
        .then((result) => {
          if (!result.ok) ports.log.warn("credential.not_ended", { kind: result.error.kind, message: result.error.message });
        }),
    );

  return {
    async give(attempt: string, pushId: string, repository: Target): Promise<Credential> {
      const push = { attempt, pushId };
      if (isOver(push)) return { refused: overSentence };
      const result = await ports.github().writeToken(repository, repository.installationId);
      if (!result.ok) {
        ports.log.warn("credential.refused", { kind: result.error.kind, message: result.error.message });
        const hint = "Check that the GitHub App is installed on the repository with write access to its contents.";
        return { refused: `GitHub refused a token to push with. ${hint} (${result.error.message})` };
      }
      const { token } = result.value;
      if (isOver(push)) {
        end(token);
        return { refused: overSentence };
      }
      given.push({ ...push, token });
      return { username, password: token };
    },
    /** Ends the tokens of pushes that are over. */
    settle(): void {
      for (const one of given.filter(isOver)) {
        given.splice(given.indexOf(one), 1);
        end(one.token);
      }
    },
  };
}
