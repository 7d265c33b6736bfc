/** Whoever asks, as sessions name their people. */
import { type Person } from "@open-inspect/protocol";
import { type Context } from "hono";
import { type App } from "./app-types.ts";

export const personOf = (c: Context<App>): Person => c.var.caller.person;
