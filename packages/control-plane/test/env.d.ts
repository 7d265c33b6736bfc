/** Types of the bindings as tests see them. */
import { type Env as WorkerEnv } from "../src/env.ts";

declare global {
  namespace Cloudflare {
    interface Env extends WorkerEnv {
      TEST_MIGRATIONS: { name: string; queries: string[] }[];
    }
    interface GlobalProps {
      mainModule: typeof import("../src/worker.ts");
      durableNamespaces: "ImageObject" | "SessionObject" | "FeedObject";
    }
  }
}
