/** What every route of the Worker sees: bindings and the variables that middleware sets. */
import { type Env } from "../env.ts";

export interface App {
  Bindings: Env;
  Variables: { person: string };
}
