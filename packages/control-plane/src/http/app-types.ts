/** What every route of the Worker sees: bindings and the variables that middleware sets. */
import { type Me, type Person } from "@open-inspect/protocol";
import { type Env } from "../env.ts";

/** Whoever asks. */
export interface Caller {
  person: Person;
  via: NonNullable<Me["via"]>;
  avatarUrl: string | null;
  /** GitHub's number of who is logged in; null for the developer identity */
  githubId: number | null;
}

export interface App {
  Bindings: Env;
  Variables: {
    caller: Caller;
    /** the one word that others know the caller by */
    person: string;
  };
}
