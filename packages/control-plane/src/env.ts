/** The Worker's bindings and its configuration, parsed once. The only place that knows variables by name. */
import { z } from "zod";
import { type StalenessTarget } from "./domain/insights.ts";
import { type HeadCheckMessage } from "./domain/ports.ts";
import { type BuildSlotsObject } from "./objects/build-slots-object.ts";
import { type FeedObject } from "./objects/feed-object.ts";
import { type ImageObject } from "./objects/image-object.ts";
import { type PoolObject } from "./objects/pool-object.ts";
import { type SessionObject } from "./objects/session-object.ts";

export interface Env {
  ASSETS: Fetcher;
  DB: D1Database;
  IMAGES: DurableObjectNamespace<ImageObject>;
  SESSIONS: DurableObjectNamespace<SessionObject>;
  BUILD_SLOTS: DurableObjectNamespace<BuildSlotsObject>;
  POOLS: DurableObjectNamespace<PoolObject>;
  FEED: DurableObjectNamespace<FeedObject>;
  HEAD_CHECKS: Queue<HeadCheckMessage>;
  CONTROL_PLANE_URL: string;
  DASHBOARD_URL: string;
  GATEWAY_URL: string;
  GITHUB_API_URL: string;
  GITHUB_APP_ID: string;
  GITHUB_CLIENT_ID: string;
  GITHUB_CLIENT_SECRET?: string;
  LOGIN_ACCOUNTS: string;
  LOGIN_RATE: RateLimit;
  MODEL_BASE_URL: string;
  DEFAULT_MODEL: string;
  MODELS: string;
  DEVELOPER_IDENTITY: string;
  INSTALLATION_NOTICE: string;
  BUILD_LIMIT_MS: string;
  SESSION_START_LIMIT_MS: string;
  BUILDS_AT_ONCE: string;
  BUILDS_AT_ONCE_PER_OWNER: string;
  TICK_JITTER_MS: string;
  RUNTIME_FLOOR: string;
  STALENESS_TARGET: string;
  GITHUB_APP_PRIVATE_KEY: string;
  GITHUB_WEBHOOK_SECRET: string;
  MODAL_API_SECRET: string;
  MODEL_API_KEY: string;
}

const httpUrl = z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ""));
const limitMs = z.coerce.number().int().min(1_000).max(86_400_000);

const listNames = (text: string): string[] =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

/** The default model first, each once. */
const listModels = (standard: string, more: string): string[] => [...new Set([standard, ...listNames(more)])];

const configSchema = z
  .object({
    /** where sandboxes reach this Worker */
    CONTROL_PLANE_URL: httpUrl,
    /** where people see the dashboard, for links in notifications; empty where that is CONTROL_PLANE_URL */
    DASHBOARD_URL: z.union([z.literal(""), httpUrl]).optional(),
    GATEWAY_URL: httpUrl,
    GITHUB_API_URL: httpUrl,
    GITHUB_APP_ID: z.string().regex(/^\d+$/, { error: "must be the number of the GitHub App" }),
    /** PEM, PKCS#8 */
    GITHUB_APP_PRIVATE_KEY: z.string().includes("BEGIN PRIVATE KEY", { error: "must be a PKCS#8 key in PEM" }),
    GITHUB_WEBHOOK_SECRET: z.string().min(16),
    /** of the GitHub App, for the login; empty where nobody logs in */
    GITHUB_CLIENT_ID: z.string().max(200).default(""),
    GITHUB_CLIENT_SECRET: z.string().max(200).default(""),
    /** GitHub accounts, separated by commas: whoever may access the App's installation on one of them may log in */
    LOGIN_ACCOUNTS: z.string().default("").transform(listNames),
    MODAL_API_SECRET: z.string().min(16),
    MODEL_BASE_URL: httpUrl,
    MODEL_API_KEY: z.string().min(1),
    DEFAULT_MODEL: z.string().min(1),
    /** what a person may ask for besides, separated by commas */
    MODELS: z.string().default(""),
    /** name of the person that everybody on this machine is; empty outside of development */
    DEVELOPER_IDENTITY: z.string().optional(),
    /** a sentence of the operator that every page shows; empty for none */
    INSTALLATION_NOTICE: z.string().max(1_000).optional(),
    BUILD_LIMIT_MS: limitMs.default(1_800_000),
    SESSION_START_LIMIT_MS: limitMs.default(1_800_000),
    /** builds that run at the same time, of everybody and of one owner; the others wait in a fair order */
    BUILDS_AT_ONCE: z.coerce.number().int().min(1).max(10_000).default(50),
    BUILDS_AT_ONCE_PER_OWNER: z.coerce.number().int().min(1).max(10_000).default(20),
    /** builds of one tick are spread over this time */
    TICK_JITTER_MS: z.coerce.number().int().min(0).max(1_800_000).default(60_000),
    /** images whose runtime is of a lower revision are not used and are built anew */
    RUNTIME_FLOOR: z.coerce.number().int().min(1).default(1),
    /** `95:30`: 95 of a hundred sessions begin at most 30 minutes behind their branch, before the sync */
    STALENESS_TARGET: z
      .string()
      .regex(/^(?:100|\d{1,2}):\d{1,5}$/, { error: "must be a percentage and minutes, like 95:30" })
      .default("95:30")
      .transform((text): StalenessTarget => {
        const [percent = 0, minutes = 0] = text.split(":").map(Number);
        return { share: percent / 100, withinMs: minutes * 60_000 };
      }),
  })
  .refine((config) => (config.GITHUB_CLIENT_ID === "") === (config.GITHUB_CLIENT_SECRET === ""), {
    path: ["GITHUB_CLIENT_SECRET"],
    error: "the login needs GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET, or neither",
  })
  .refine((config) => config.LOGIN_ACCOUNTS.length === 0 || config.GITHUB_CLIENT_ID !== "", {
    path: ["GITHUB_CLIENT_ID"],
    error: "LOGIN_ACCOUNTS names who may log in, and there is no login without it",
  })
  .transform((config) => ({ ...config, MODELS: listModels(config.DEFAULT_MODEL, config.MODELS) }));
export type Config = z.output<typeof configSchema>;

const parsed = new WeakMap<Env, Config>();

/** The Worker lacks settings; the message names them and never says a value. */
export class ConfigurationError extends Error {}

/** @throws ConfigurationError that names each missing or malformed variable. */
export function readConfig(env: Env): Config {
  const known = parsed.get(env);
  if (known) return known;
  const result = configSchema.safeParse(env);
  if (!result.success) {
    const faults = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new ConfigurationError(`The Worker is not configured: ${faults.join("; ")}.`);
  }
  parsed.set(env, result.data);
  return result.data;
}
