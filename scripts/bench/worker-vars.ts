/** Settings of a Worker between a gateway and a GitHub of a bench's own, without a model. */
import { type Credentials } from "../credentials.ts";

export function workerVars(
  credentials: Credentials,
  urls: { url: string; gatewayUrl: string; githubUrl: string },
): Record<string, string> {
  return {
    CONTROL_PLANE_URL: urls.url,
    GATEWAY_URL: urls.gatewayUrl,
    GITHUB_API_URL: urls.githubUrl,
    GITHUB_APP_ID: `${credentials.githubAppId}`,
    GITHUB_APP_PRIVATE_KEY: credentials.githubAppPrivateKey,
    GITHUB_WEBHOOK_SECRET: credentials.githubWebhookSecret,
    MODAL_API_SECRET: credentials.modalApiSecret,
    MODEL_BASE_URL: "http://127.0.0.1:9",
    MODEL_API_KEY: credentials.modelApiKey,
    DEVELOPER_IDENTITY: "bench",
  };
}
