/** The dashboard's feed: one object, hibernatable sockets, every message to everybody. Stores nothing; a reconnect reads the lists again. */
import { DurableObject } from "cloudflare:workers";
import { type FeedMessage } from "@open-inspect/protocol";
import { acceptSocket, createViewers, sendText, shut } from "../adapters/sockets.ts";
import { type Env, readConfig } from "../env.ts";

const topic = "feed";

export class FeedObject extends DurableObject<Env> {
  private readonly viewers = createViewers(this.ctx);

  /** A WebSocket upgrade; the Worker has checked who asks. */
  override fetch(): Response {
    return acceptSocket((socket) => {
      this.viewers.accept(socket, topic);
      const notice = readConfig(this.env).INSTALLATION_NOTICE || null;
      sendText(socket, JSON.stringify({ type: "hello", notice } satisfies FeedMessage));
    });
  }

  async publish(message: FeedMessage): Promise<void> {
    this.viewers.send(topic, message);
  }

  override webSocketMessage(): void {
    // Browsers only listen.
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    shut(socket, code === 1005 || code === 1006 ? 1000 : code, "bye");
  }
}
