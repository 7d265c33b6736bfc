/** The control plane's tests, in workerd, with in-memory servers in Node behind every outgoing request. */
import { generateKeyPairSync } from "node:crypto";
import { fileURLToPath } from "node:url";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { createFakeWorld } from "./test/fakes/world.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here("."),
  plugins: [
    cloudflareTest(async () => {
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
      const world = createFakeWorld();
      return {
        wrangler: { configPath: here("../../wrangler.toml") },
        remoteBindings: false,
        miniflare: {
          cf: false,
          bindings: {
            TICK_JITTER_MS: "0",
            BUILDS_AT_ONCE: "2",
            TEST_MIGRATIONS: await readD1Migrations(here("./migrations")),
            CONTROL_PLANE_URL: "http://127.0.0.1:8787",
            DASHBOARD_URL: "http://dashboard.test",
            GATEWAY_URL: "http://gateway.test",
            GITHUB_API_URL: "http://github.test",
            GITHUB_APP_ID: "1",
            GITHUB_CLIENT_ID: "Iv1.client",
            GITHUB_CLIENT_SECRET: "the-client-secret",
            LOGIN_ACCOUNTS: "nobody-of-these, acme",
            GITHUB_APP_PRIVATE_KEY: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
            GITHUB_WEBHOOK_SECRET: "a-webhook-secret-of-the-tests",
            MODAL_API_SECRET: "a-gateway-secret-of-the-tests-with-length",
            MODEL_BASE_URL: "http://model.test",
            MODEL_API_KEY: "the-real-model-key",
            DEFAULT_MODEL: "a-model",
            DEVELOPER_IDENTITY: "dev",
            BUILD_LIMIT_MS: "600000",
            SESSION_START_LIMIT_MS: "600000",
          },
          outboundService: (request: Request) => world.fetch(request),
        },
      };
    }),
  ],
  test: {
    name: "control-plane",
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    // One runtime for all files; setup.ts empties every binding before each test instead.
    isolate: false,
    fileParallelism: false,
    testTimeout: 45_000,
    hookTimeout: 20_000,
  },
});
