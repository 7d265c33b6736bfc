/**
 * The test projects. Vitest reads them through vitest.config.ts. Those with `isolate: false` go on from file to file in the same
 * worker, which spares loading the same modules again; what their tests start lives in other processes and in folders of its own.
 */
import { fileURLToPath } from "node:url";
import { type TestProjectConfiguration } from "vitest/config";

const projects: TestProjectConfiguration[] = [
  { test: { name: "protocol", root: "packages/protocol", include: ["test/**/*.test.ts"] } },
  "packages/control-plane/vitest.config.ts",
  {
    test: {
      name: "modal-client",
      isolate: false,
      root: "packages/modal-client",
      include: ["test/**/*.test.ts"],
      testTimeout: 60_000,
      hookTimeout: 60_000,
    },
  },
  {
    test: {
      name: "sandbox-runtime",
      isolate: false,
      root: "packages/sandbox-runtime",
      include: ["test/**/*.test.ts"],
      globalSetup: [fileURLToPath(new URL("packages/sandbox-runtime/test/support/bundle-entry.ts", import.meta.url))],
      testTimeout: 60_000,
      hookTimeout: 60_000,
    },
  },
  {
    test: {
      name: "emulators",
      isolate: false,
      root: "packages/emulators",
      include: ["test/**/*.test.ts"],
      // Each of its thousand forks copies the worker's page tables: what is freed is given back, and little is kept for later.
      execArgv: ["--max-semi-space-size=8"],
      env: { MALLOC_MMAP_THRESHOLD_: "65536" },
      testTimeout: 60_000,
      hookTimeout: 60_000,
    },
  },
  "packages/web/vitest.config.ts",
  { test: { name: "scripts", root: "scripts", include: ["test/**/*.test.ts"], testTimeout: 120_000, hookTimeout: 120_000 } },
];
export default projects;
