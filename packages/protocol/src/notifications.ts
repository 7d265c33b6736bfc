/** Bodies of `/notifications`: where failing builds are told, and what is sent there. Paths are below `/api`. */
import { z } from "zod";
import { buildIdSchema, shaSchema, timestampSchema } from "./ids.ts";
import { failureSchema } from "./image-build.ts";

/** `json` is the notification itself, `slack` what an incoming webhook of Slack takes. */
export const notificationFormats = ["json", "slack"] as const;
/** `failed` is tried again for a while; `refused` is not, because the target said that it does not want it. */
export const deliveryOutcomes = ["delivered", "failed", "refused"] as const;

export const notificationTargetNameSchema = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, { error: "must be up to 40 lower-case letters, digits and dashes" });

/** `GET /notifications` → every target. Neither the secret nor what is secret of the address is ever shown. */
export const notificationTargetSchema = z.object({
  name: notificationTargetNameSchema,
  format: z.enum(notificationFormats),
  /** of a Slack address the host alone, of others without the query */
  url: z.string(),
  hasSecret: z.boolean(),
  createdAt: timestampSchema,
  createdBy: z.string(),
  lastDelivery: z.object({ at: timestampSchema, outcome: z.enum(deliveryOutcomes), cause: z.string().nullable() }).nullable(),
});
export type NotificationTarget = z.infer<typeof notificationTargetSchema>;
export const notificationTargetListSchema = z.object({ targets: z.array(notificationTargetSchema) });
export type NotificationTargetList = z.infer<typeof notificationTargetListSchema>;

/** `PUT /notifications/:name` → `NotificationTarget`. Without a secret the one that is stored stays, where only the address is new. */
export const putNotificationTargetSchema = z.strictObject({
  format: z.enum(notificationFormats),
  url: z.url().max(2_000),
  /** key of the signature; `json` needs one */
  secret: z.string().min(16).max(200).optional(),
});
export type PutNotificationTarget = z.infer<typeof putNotificationTargetSchema>;

/** `DELETE /notifications/:name`. */
export const notificationTargetDeletedSchema = z.object({ deleted: z.boolean() });
export type NotificationTargetDeleted = z.infer<typeof notificationTargetDeletedSchema>;

/** `POST /notifications/:name/test`: what became of a sample, sent once. */
export const notificationTestSchema = z.object({ outcome: z.enum(deliveryOutcomes), cause: z.string().nullable() });
export type NotificationTest = z.infer<typeof notificationTestSchema>;

/**
 * What a `json` target is sent. `id` is the same in every repetition of one notification.
 * Signed with `open-inspect-signature: t=<seconds since the epoch>,v1=<hex of HMAC-SHA256(secret, "<t>.<body>")>`.
 */
export const notificationSchema = z.object({
  id: z.string(),
  type: z.enum(["image.failing", "image.recovered", "test"]),
  at: timestampSchema,
  repository: z.object({ owner: z.string(), name: z.string() }),
  /** the build that failed, or that ended the failure; null in a test */
  build: z
    .object({
      id: buildIdSchema,
      sha: shaSchema.nullable(),
      failure: failureSchema.pick({ code: true, message: true, hint: true, phase: true }).nullable(),
    })
    .nullable(),
  /** the page of the build, or of this installation */
  url: z.string(),
});
export type Notification = z.infer<typeof notificationSchema>;
