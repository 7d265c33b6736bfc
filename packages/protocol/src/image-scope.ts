/** The name of an image's scope, which is also the name of the Durable Object that builds it. */
import { type RepositoryRef } from "./ids.ts";

/** `repo:<owner>/<name>`, lower-cased because GitHub's names are case-insensitive. */
export type ImageScope = `repo:${string}/${string}`;

export function imageScopeOf(repository: RepositoryRef): ImageScope {
  return `repo:${repository.owner.toLowerCase()}/${repository.name.toLowerCase()}`;
}
