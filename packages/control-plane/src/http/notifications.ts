/** `/api/notifications`: where failing builds are told. Secrets go in and never come out. */
import {
  type NotificationTarget,
  type NotificationTargetDeleted,
  type NotificationTargetList,
  type NotificationTest,
  notificationTargetNameSchema,
  putNotificationTargetSchema,
} from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { createNotificationRows } from "../adapters/d1/notifications.ts";
import { createTargetSealer } from "../adapters/notifier.ts";
import { notifierOf } from "../compose.ts";
import { limits } from "../domain/deadlines.ts";
import { refuseUrl, shownUrl } from "../domain/notifications.ts";
import { readConfig } from "../env.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { parse, readJson } from "./validation.ts";

const nameOf = (c: Context<App>): string => parse(notificationTargetNameSchema, c.req.param("name"), "name of the target");
const notFound = (name: string): ApiError =>
  new ApiError("notification_target_not_found", `There is no target ${name}.`, "GET /api/notifications lists them.");

async function viewOf(c: Context<App>, name: string): Promise<NotificationTarget> {
  const found = (await createNotificationRows(c.env.DB).list()).find((target) => target.name === name);
  if (!found) throw notFound(name);
  return found;
}

export const notifications = new Hono<App>()
  .get("/", async (c) => c.json({ targets: await createNotificationRows(c.env.DB).list() } satisfies NotificationTargetList))
  .put("/:name", async (c) => {
    const name = nameOf(c);
    const { format, url, secret } = await readJson(c, putNotificationTargetSchema);
    const { DEVELOPER_IDENTITY, MODAL_API_SECRET } = readConfig(c.env);
    const refusal = refuseUrl(url, Boolean(DEVELOPER_IDENTITY));
    if (refusal) throw new ApiError("invalid_request", `The address cannot be used: ${refusal}`, "Use a public https address.");
    const rows = createNotificationRows(c.env.DB);
    const stored = await rows.find(name);
    if (!stored && (await rows.count()) >= limits.notificationTargets) {
      throw new ApiError("conflict", `There are ${limits.notificationTargets} targets already.`, "Delete one first.");
    }
    const sealer = createTargetSealer(MODAL_API_SECRET);
    const sealedSecret = secret === undefined ? (stored?.sealedSecret ?? null) : await sealer.seal(secret);
    if (format === "json" && sealedSecret === null) {
      throw new ApiError("invalid_request", "A json target needs a secret.", "Send `secret`: what is sent is signed with it.");
    }
    await rows.put({
      ...{ name, format, sealedSecret },
      shownUrl: shownUrl(url, format),
      sealedUrl: await sealer.seal(url),
      createdAt: Date.now(),
      createdBy: c.var.person,
    });
    return c.json((await viewOf(c, name)) satisfies NotificationTarget);
  })
  .delete("/:name", async (c) => {
    const deleted = await createNotificationRows(c.env.DB).remove(nameOf(c));
    return c.json({ deleted } satisfies NotificationTargetDeleted);
  })
  .post("/:name/test", async (c) => {
    const name = nameOf(c);
    const target = await createNotificationRows(c.env.DB).find(name);
    if (!target) throw notFound(name);
    const id = `test.${crypto.randomUUID()}`;
    return c.json((await notifierOf(c.env).test(target, id)) satisfies NotificationTest);
  });
