/** Before each test of the Worker: the real time, empty objects, an empty migrated database, a fresh world outside. The domain's tests touch none of it. */
import { beforeEach, expect, vi } from "vitest";

// The Worker's modules are not loaded for tests of the domain alone.
let storage: typeof import("./support/clean-storage.ts") | null = null;

beforeEach(async () => {
  vi.useRealTimers();
  if (!expect.getState().testPath?.includes("/test/workerd/")) return;
  storage ??= await import("./support/clean-storage.ts");
  await storage.cleanStorage();
});
