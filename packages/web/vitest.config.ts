/** The dashboard's tests: in jsdom, with React's plugin. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  test: {
    name: "web",
    root: import.meta.dirname,
    environment: "jsdom",
    environmentOptions: { jsdom: { url: "http://dashboard.test/" } },
    include: ["test/**/*.test.{ts,tsx}"],
    setupFiles: ["test/setup.ts"],
    // One jsdom for all files: setup.ts takes each test's page down again. A jsdom and a React per file cost half of the run's time.
    isolate: false,
    testTimeout: 20_000,
  },
});
