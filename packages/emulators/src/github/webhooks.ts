/**
 * Signed deliveries to the app's webhook URL: each with a deadline, a few retries under the same delivery id, and a bound on
 * how many are on their way. Does not know what a push is.
 */
import { createHmac, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

/** GitHub gives a receiver ten seconds. */
const deliveryTimeoutMs = 10_000;
const retriesMax = 3;
const pendingMax = 200;
const keptMax = 100;

interface Delivery {
  id: string;
  event: string;
  status: "pending" | "delivered" | "failed";
  attempts: number;
  /** status of the receiver's last answer, null when there was none */
  code: number | null;
}

export function createWebhooks(ports: {
  appId: number;
  secret: string;
  hookId: number;
  retryDelayMs: number;
  log: (line: string) => void;
}) {
  let url: string | null = null;
  const kept: { delivery: Delivery; body: string }[] = [];
  const stopping = new AbortController();
  const pending = new Set<Promise<void>>();

  const post = async (to: string, delivery: Delivery, body: string): Promise<number> => {
    const sign = (algorithm: string) => `${algorithm}=${createHmac(algorithm, ports.secret).update(body).digest("hex")}`;
    const response = await fetch(to, {
      method: "POST",
      redirect: "manual",
      signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(deliveryTimeoutMs)]),
      headers: {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/emulator",
        "x-github-delivery": delivery.id,
        "x-github-event": delivery.event,
        "x-github-hook-id": String(ports.hookId),
        "x-github-hook-installation-target-id": String(ports.appId),
        "x-github-hook-installation-target-type": "integration",
        "x-hub-signature": sign("sha1"),
        "x-hub-signature-256": sign("sha256"),
      },
      body,
    });
    await response.body?.cancel();
    return response.status;
  };

  const deliver = async (delivery: Delivery, body: string) => {
    delivery.status = "pending";
    let reason = "there is no webhook URL";
    for (let attempt = 0; attempt <= retriesMax && url !== null; attempt++) {
      if (attempt > 0) await delay(ports.retryDelayMs * 2 ** (attempt - 1), undefined, { signal: stopping.signal, ref: false });
      delivery.attempts++;
      try {
        delivery.code = await post(url, delivery, body);
        if (delivery.code >= 200 && delivery.code < 300) {
          delivery.status = "delivered";
          return;
        }
        reason = `the receiver answered ${delivery.code}`;
      } catch (error) {
        if (stopping.signal.aborted) return;
        delivery.code = null;
        reason = error instanceof Error && error.name === "TimeoutError" ? "no answer in time" : "the receiver cannot be reached";
      }
    }
    delivery.status = "failed";
    ports.log(`webhook ${delivery.event} ${delivery.id} was not delivered: ${reason}`);
  };
  const start = (delivery: Delivery, body: string) => {
    if (pending.size >= pendingMax) {
      delivery.status = "failed";
      ports.log(`webhook ${delivery.event} ${delivery.id} was dropped: too many are on their way`);
      return;
    }
    const work = deliver(delivery, body).catch(() => {});
    pending.add(work);
    void work.finally(() => pending.delete(work));
  };

  return {
    setUrl(next: string | null) {
      url = next;
    },
    hasUrl: () => url !== null,
    /** Begins a delivery in the background. Without a webhook URL nothing is sent, as for an app without one. */
    send(event: string, payload: object): void {
      if (url === null || stopping.signal.aborted) return;
      const delivery: Delivery = { id: randomUUID(), event, status: "pending", attempts: 0, code: null };
      const body = JSON.stringify(payload);
      kept.push({ delivery, body });
      if (kept.length > keptMax) kept.shift();
      start(delivery, body);
    },
    /** The last deliveries, oldest first. */
    deliveries: (): Delivery[] => kept.map((entry) => entry.delivery),
    /** Sends a kept delivery once more under its old id. False when it is unknown. */
    redeliver(id: string): boolean {
      const entry = kept.find((candidate) => candidate.delivery.id === id);
      if (entry) start(entry.delivery, entry.body);
      return entry !== undefined;
    },
    async stop() {
      stopping.abort();
      await Promise.all(pending);
    },
  };
}
export type Webhooks = ReturnType<typeof createWebhooks>;
