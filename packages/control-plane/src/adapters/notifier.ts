/** Tells every target what there is to tell: signs, posts with a deadline, and notes what became of it. Decides nothing but whether to try again. */
import { type Notification, type NotificationTest } from "@open-inspect/protocol";
import { deadlines } from "../domain/deadlines.ts";
import { evaluateAnswer, type Notice, refuseUrl, sampleNotice, slackBody } from "../domain/notifications.ts";
import { createNotificationRows, type TargetRow } from "./d1/notifications.ts";
import { createSealer, type Sealer } from "./sealed.ts";

export interface Notifier {
  /** False: some target could not be reached and wants another try. Who has got it is not told twice. */
  tell(notice: Notice): Promise<boolean>;
  /** One try of a sample. */
  test(target: TargetRow, id: string): Promise<NotificationTest>;
}

export interface NotifierParts {
  db: D1Database;
  sealer: Sealer;
  /** where people see this installation */
  origin: string;
  isDevelopment: boolean;
  now(): number;
}

export const createTargetSealer = (secret: string): Sealer => createSealer(secret, "notification target");

const encoder = new TextEncoder();

/** `t=<seconds>,v1=<hex>`: a receiver that checks the time as well cannot be fooled with an old message. */
export async function signNotification(secret: string, body: string, at: number): Promise<string> {
  const seconds = Math.floor(at / 1000);
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(`${seconds}.${body}`)));
  return `t=${seconds},v1=${Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export function createNotifier({ db, sealer, origin, isDevelopment, now }: NotifierParts): Notifier {
  const rows = createNotificationRows(db);

  const complete = (notice: Notice): Notification => ({
    ...notice,
    url: notice.build ? `${origin}/builds/${notice.build.id}` : origin,
  });

  async function send(target: TargetRow, notification: Notification): Promise<NotificationTest> {
    let url: string;
    let secret: string | null;
    try {
      url = await sealer.open(target.sealedUrl);
      secret = target.sealedSecret && (await sealer.open(target.sealedSecret));
    } catch {
      return { outcome: "refused", cause: "The stored address cannot be read any more; set the target anew." };
    }
    const refusal = refuseUrl(url, isDevelopment);
    if (refusal) return { outcome: "refused", cause: refusal };
    const body = JSON.stringify(target.format === "slack" ? slackBody(notification) : notification);
    const headers: Record<string, string> = {
      "content-type": "application/json",
      "user-agent": "open-inspect",
      "open-inspect-event": notification.type,
      "open-inspect-delivery": notification.id,
    };
    if (secret) headers["open-inspect-signature"] = await signNotification(secret, body, now());
    const signal = AbortSignal.timeout(deadlines.notificationPostMs);
    try {
      const response = await fetch(url, { method: "POST", body, headers, redirect: "manual", signal });
      await response.body?.cancel();
      const outcome = evaluateAnswer(response.status);
      return { outcome, cause: outcome === "delivered" ? null : `It answered ${response.status}.` };
    } catch {
      // The error may name the address.
      return { outcome: "failed", cause: signal.aborted ? "It did not answer in time." : "It could not be reached." };
    }
  }

  async function deliver(target: TargetRow, notification: Notification): Promise<NotificationTest> {
    const result = await send(target, notification);
    await rows.saveDelivery({ notificationId: notification.id, target: target.name, at: now(), ...result });
    return result;
  }

  return {
    async tell(notice) {
      const [targets, done] = await Promise.all([rows.known(notice.at), rows.deliveriesOf(notice.id)]);
      const left = targets.filter(({ name }) => (done.get(name) ?? "failed") === "failed");
      const results = await Promise.all(left.map((target) => deliver(target, complete(notice))));
      return results.every(({ outcome }) => outcome !== "failed");
    },
    test: (target, id) => deliver(target, complete(sampleNotice(id, now()))),
  };
}
