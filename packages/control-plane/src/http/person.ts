/** Whoever asks, as sessions name their people. */
import { type Person } from "@open-inspect/protocol";
import { type Context } from "hono";
import { type App } from "./app-types.ts";

/** The developer identity is a name alone. */
export const personOf = (c: Context<App>): Person => ({ name: c.var.person, email: null, login: null });
