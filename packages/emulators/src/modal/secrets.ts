/** Holds secrets by id for the life of the process. Never writes them anywhere. */
import { Status } from "nice-grpc";
import { newSecretId } from "./ids.ts";
import { fail } from "./rpc.ts";
import { type SecretSource } from "./wire.ts";

/** Ephemeral secrets come with every image build: beyond this many the oldest go. */
const keptSecrets = 2000;

export interface Secrets {
  create(env: Record<string, string>): string;
  /** Later sources win. An unknown id fails the call with NOT_FOUND. */
  merge(secretIds: string[], sources?: SecretSource[]): Record<string, string>;
}

export function createSecrets(): Secrets {
  const byId = new Map<string, Record<string, string>>();
  const find = (id: string) =>
    byId.get(id) ?? fail(Status.NOT_FOUND, `Secret ${id} is unknown. The emulator forgets secrets when it is restarted.`);
  return {
    create: (env) => {
      const id = newSecretId();
      byId.set(id, env);
      const oldest = byId.keys().next().value;
      if (byId.size > keptSecrets && oldest !== undefined) byId.delete(oldest);
      return id;
    },
    merge: (secretIds, sources = []) =>
      Object.assign(
        {},
        ...secretIds.map(find),
        ...sources.map((source) => (source.secretId ? find(source.secretId) : (source.env?.contents ?? {}))),
      ),
  };
}
