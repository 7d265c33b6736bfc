/** Genuine deliveries of GitHub's webhook to the whole Worker. */
import { exports } from "cloudflare:workers";
import { expect } from "vitest";
import { origin } from "./harness.ts";

let serial = 0;

export async function deliver(event: string, content: object): Promise<{ accepted: boolean; reason: string }> {
  const body = JSON.stringify(content);
  const secret = new TextEncoder().encode("a-webhook-secret-of-the-tests");
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(body)));
  const response = await exports.default.fetch(`${origin}/api/webhooks/github`, {
    method: "POST",
    body,
    headers: {
      "content-type": "application/json",
      "x-github-event": event,
      "x-github-delivery": `delivery-${++serial}`,
      "x-hub-signature-256": `sha256=${Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("")}`,
    },
  });
  expect(response.status).toBe(202);
  return response.json();
}
