/** Error codes of the REST API with their HTTP status, and the one body every error has. */
import { z } from "zod";

/** Each code with the status it is sent under. The compiler holds the list closed. */
export const errorStatuses = {
  invalid_request: 400,
  model_not_allowed: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  repository_not_found: 404,
  branch_not_found: 404,
  build_not_found: 404,
  image_not_found: 404,
  session_not_found: 404,
  prompt_not_found: 404,
  attachment_not_found: 404,
  notification_target_not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  image_disabled: 409,
  image_unavailable: 409,
  build_ended: 409,
  repository_empty: 409,
  session_ended: 409,
  session_archived: 409,
  session_not_ready: 409,
  prompt_started: 409,
  prompt_queue_full: 409,
  nothing_to_push: 409,
  payload_too_large: 413,
  signature_invalid: 401,
  upgrade_required: 426,
  rate_limited: 429,
  internal: 500,
  github_unavailable: 502,
  pull_request_failed: 502,
  gateway_unavailable: 503,
} as const;

export type ErrorCode = keyof typeof errorStatuses;
export const errorCodes = Object.keys(errorStatuses) as [ErrorCode, ...ErrorCode[]];

/** `{ error: { code, message, hint } }`: what went wrong in a sentence, and what to do about it. */
export const errorBodySchema = z.object({
  error: z.object({ code: z.enum(errorCodes), message: z.string(), hint: z.string() }),
});
export type ErrorBody = z.infer<typeof errorBodySchema>;
