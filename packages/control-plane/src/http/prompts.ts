/** `/api/sessions/:id/prompts` and `…/attachments`: ask, change what waits, stop what runs, look at what was attached. */
import {
  type Attachment,
  type AttachmentInput,
  attachmentMaxBytes,
  changePromptRequestSchema,
  createPromptRequestSchema,
  type Person,
  type PromptView,
  promptIdSchema,
  promptQueueMax,
  sessionIdSchema,
} from "@open-inspect/protocol";
import { type Context, Hono } from "hono";
import { isOfKind } from "../domain/attachment-kind.ts";
import { limits } from "../domain/deadlines.ts";
import { readConfig } from "../env.ts";
import { type PromptAnswer, type PromptOrder } from "../objects/conversation.ts";
import { newId } from "../objects/ids.ts";
import { type App } from "./app-types.ts";
import { ApiError } from "./errors.ts";
import { personOf } from "./person.ts";
import { parse, readJson } from "./validation.ts";

const sessionOf = (c: Context<App>): string => parse(sessionIdSchema, c.req.param("id"), "session id", "session_not_found");
const promptOf = (c: Context<App>): string => parse(promptIdSchema, c.req.param("promptId"), "prompt id", "prompt_not_found");

/** @throws ApiError for a model that the installation does not offer */
export function requireModel(c: Context<App>, model: string | null | undefined): void {
  const { MODELS } = readConfig(c.env);
  if (model === undefined || model === null || MODELS.includes(model)) return;
  throw new ApiError(
    "model_not_allowed",
    `This installation does not offer the model ${model}.`,
    `Use one of ${MODELS.join(", ")}.`,
  );
}

/** @throws ApiError for what is larger than it may be, or not what it says that it is */
export function createPromptOrder(prompt: {
  id: string;
  text: string;
  model: string | null;
  author: Person | null;
  attachments: AttachmentInput[];
}): PromptOrder {
  return { ...prompt, attachments: prompt.attachments.map((input, place) => decode(input, `${prompt.id}-${place + 1}`)) };
}

function decode({ name, mime, data }: AttachmentInput, id: string): { attachment: Attachment; bytes: Uint8Array } {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  if (bytes.byteLength > attachmentMaxBytes) {
    throw new ApiError("payload_too_large", `${name} is larger than ${attachmentMaxBytes} bytes.`, "Attach a smaller file.");
  }
  if (!isOfKind(mime, bytes)) {
    const what = mime.startsWith("image/") ? `an image of the kind ${mime}` : "text in UTF-8";
    throw new ApiError("invalid_request", `${name} is not ${what}.`, "Attach PNG, JPEG, GIF or WebP images, or text in UTF-8.");
  }
  return { attachment: { id, name, mime, sizeBytes: bytes.byteLength }, bytes };
}

function viewOf(answer: PromptAnswer | null, session: string, prompt: string): PromptView {
  if (!answer) throw new ApiError("session_not_found", `There is no session ${session}.`, "GET /api/sessions lists them.");
  if ("prompt" in answer) return answer.prompt;
  switch (answer.refused) {
    case "not_found":
      throw new ApiError("prompt_not_found", `The session has no prompt ${prompt}.`, "GET /api/sessions/{id} lists its prompts.");
    case "started":
      throw new ApiError("prompt_started", "The prompt does not wait any more.", "Stop it, or ask again in another prompt.");
    case "archived":
      throw new ApiError("session_archived", "The session is archived.", "Restore it first.");
    case "full":
      throw new ApiError(
        "prompt_queue_full",
        `${promptQueueMax} prompts of this session are waiting.`,
        "Wait until some have run, or cancel some.",
      );
  }
}

/** Bytes that somebody else has attached: never a page of ours, whatever is in them. */
export function attachmentAnswer({ attachment, bytes }: { attachment: Attachment; bytes: Uint8Array }): Response {
  const { name, mime } = attachment;
  const kind = mime.startsWith("image/") ? "inline" : "attachment";
  return new Response(bytes, {
    headers: {
      "content-type": mime.startsWith("image/") ? mime : `${mime}; charset=utf-8`,
      "content-disposition": `${kind}; filename*=UTF-8''${encodeURIComponent(name).replace(/['()*]/g, escapeMark)}`,
      "content-security-policy": "default-src 'none'; sandbox",
      "x-content-type-options": "nosniff",
    },
  });
}
const escapeMark = (mark: string): string => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`;

export const prompts = new Hono<App>()
  .post("/:id/prompts", async (c) => {
    const session = sessionOf(c);
    const { text, model, attachments = [], id } = await readJson(c, createPromptRequestSchema, limits.promptBodyBytes);
    requireModel(c, model);
    const order = createPromptOrder({
      id: id ?? newId("prompt", Date.now()),
      text,
      model: model ?? null,
      author: personOf(c),
      attachments,
    });
    const answer = await c.env.SESSIONS.getByName(session).addPrompt(order);
    return c.json(viewOf(answer, session, order.id), 201);
  })
  .patch("/:id/prompts/:promptId", async (c) => {
    const session = sessionOf(c);
    const prompt = promptOf(c);
    const { text, model } = await readJson(c, changePromptRequestSchema);
    requireModel(c, model);
    const changes = { ...(text === undefined ? {} : { text }), ...(model === undefined ? {} : { model }) };
    return c.json(viewOf(await c.env.SESSIONS.getByName(session).changePrompt(prompt, changes), session, prompt));
  })
  .delete("/:id/prompts/:promptId", async (c) => {
    const session = sessionOf(c);
    const prompt = promptOf(c);
    return c.json(viewOf(await c.env.SESSIONS.getByName(session).cancelPrompt(prompt), session, prompt));
  })
  .post("/:id/prompts/:promptId/stop", async (c) => {
    const session = sessionOf(c);
    const prompt = promptOf(c);
    return c.json(viewOf(await c.env.SESSIONS.getByName(session).stopPrompt(prompt), session, prompt));
  })
  .get("/:id/attachments/:attachmentId", async (c) => {
    const id = c.req.param("attachmentId");
    const found = await c.env.SESSIONS.getByName(sessionOf(c)).attachment(id, null);
    if (!found) throw new ApiError("attachment_not_found", `There is no attachment ${id}.`, "The session's prompts name them.");
    return attachmentAnswer(found);
  });
