/** Introduces the adapters to the configuration. The one place that knows which variable goes where. */
import { createDataPlane } from "./adapters/data-plane.ts";
import { createGitHub } from "./adapters/github.ts";
import { createGitHubLogin, type GitHubLogin } from "./adapters/github-login.ts";
import { createNotifier, createTargetSealer, type Notifier } from "./adapters/notifier.ts";
import { type DataPlane, type GitHub } from "./domain/ports.ts";
import { type Config, type Env, readConfig } from "./env.ts";

export function dataPlaneOf(config: Config): DataPlane {
  return createDataPlane({ gatewayUrl: config.GATEWAY_URL, secret: config.MODAL_API_SECRET });
}

export function gitHubOf(config: Config): GitHub {
  return createGitHub({
    baseUrl: config.GITHUB_API_URL,
    appId: config.GITHUB_APP_ID,
    privateKey: config.GITHUB_APP_PRIVATE_KEY,
    webhookSecret: config.GITHUB_WEBHOOK_SECRET,
    now: Date.now,
  });
}

/** null: nobody may log in */
export function gitHubLoginOf({
  GITHUB_API_URL,
  GITHUB_CLIENT_ID,
  GITHUB_CLIENT_SECRET,
  LOGIN_ACCOUNTS,
}: Config): GitHubLogin | null {
  if (LOGIN_ACCOUNTS.length === 0) return null;
  return createGitHubLogin({ baseUrl: GITHUB_API_URL, clientId: GITHUB_CLIENT_ID, clientSecret: GITHUB_CLIENT_SECRET });
}

/** Where people see a session. */
export const sessionPageOf = ({ DASHBOARD_URL, CONTROL_PLANE_URL }: Config, id: string): string =>
  `${DASHBOARD_URL || CONTROL_PLANE_URL}/sessions/${id}`;

export function notifierOf(env: Env): Notifier {
  const config = readConfig(env);
  return createNotifier({
    db: env.DB,
    sealer: createTargetSealer(config.MODAL_API_SECRET),
    origin: config.DASHBOARD_URL || config.CONTROL_PLANE_URL,
    isDevelopment: Boolean(config.DEVELOPER_IDENTITY),
    now: Date.now,
  });
}
