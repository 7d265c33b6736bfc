/** Generates `migrations/` from the schema: `drizzle-kit generate` in this folder after a change of the schema. */
import { defineConfig } from "drizzle-kit";

export default defineConfig({ dialect: "sqlite", schema: "./src/adapters/d1/schema.ts", out: "./migrations" });
