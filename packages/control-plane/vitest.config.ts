import { defineConfig } from "vitest/config";
export default defineConfig({ test: { name: "control-plane", include: ["test/**/*.test.ts"] } });
