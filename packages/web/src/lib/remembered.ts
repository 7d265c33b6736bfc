/** What the browser remembers to spare a person choosing it again: the last repository, and the models that sessions have told of. */
import { z } from "zod";

const repositoryName = "open-inspect.repository";
const modelsName = "open-inspect.models";
const modelsSchema = z.array(z.string());

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Storage is full or switched off: it is chosen again.
  }
}

/** Forgets all of it. */
export function forgetRemembered(): void {
  try {
    for (const name of [repositoryName, modelsName]) localStorage.removeItem(name);
  } catch {
    // Storage is switched off: nothing is kept.
  }
}

/** owner/name; null for none */
export const lastRepository = (): string | null => read(repositoryName);
export const rememberRepository = ({ owner, name }: { owner: string; name: string }): void =>
  write(repositoryName, `${owner}/${name}`);

/** Models that this installation has offered lately, the default first. One that is offered no more is refused by the server. */
export function knownModels(): readonly string[] {
  try {
    return modelsSchema.safeParse(JSON.parse(read(modelsName) ?? "[]")).data ?? [];
  } catch {
    return [];
  }
}
export const rememberModels = (models: readonly string[]): void => write(modelsName, JSON.stringify(models));
