/** The one Modal client of the process and the app that everything belongs to. Knows nothing of images and sandboxes. */
import { type App, ModalClient } from "modal";
import { deadlineMiddleware, type GatewayDeadlines } from "./deadlines.ts";
import { type Log } from "./log.ts";

/** How long the SDK may sleep when Modal asks it to slow down; without a limit it would do so for ever. */
const maximumThrottleSeconds = 10;

export interface Provider {
  modal: ModalClient;
  /** looked up once; a failed look-up is not remembered */
  app(): Promise<App>;
  close(): void;
}

/** Server and credentials come from the environment, by the names that the SDK reads. */
export function createProvider(options: { appName: string; log: Log; deadlinesMs: GatewayDeadlines }): Provider {
  const { log } = options;
  const modal = new ModalClient({
    maxThrottleWaitSecs: maximumThrottleSeconds,
    grpcMiddleware: [deadlineMiddleware(options.deadlinesMs)],
    // Only the SDK's sentences: its further arguments hold commands.
    logger: {
      debug: () => {},
      info: () => {},
      warn: (message) => log.warn("modal_sdk", { message }),
      error: (message) => log.warn("modal_sdk", { message }),
    },
  });
  let app: Promise<App> | undefined;
  return {
    modal,
    app() {
      app ??= modal.apps.fromName(options.appName, { createIfMissing: true }).catch((error: unknown) => {
        app = undefined;
        throw error;
      });
      return app;
    },
    close: () => modal.close(),
  };
}
