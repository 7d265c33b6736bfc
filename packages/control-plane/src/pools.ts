/** Tells the warm pools of repositories that what they stand for may be another. It knows nothing of what they make of it. */
import { createSessionSettings } from "./adapters/d1/session-settings.ts";
import { type Env } from "./env.ts";

export async function tellPools({ DB, POOLS }: Env, scopes: readonly string[]): Promise<void> {
  for (const scope of await createSessionSettings(DB).withPool(scopes)) await POOLS.getByName(scope).imageChanged(scope);
}
