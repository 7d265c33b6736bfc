/** Reads bodies, parameters and queries through the protocol's schemas; what does not fit is a 4xx that says where and why. */
import { type ErrorCode } from "@open-inspect/protocol";
import { type Context } from "hono";
import { type z } from "zod";
import { limits } from "../domain/deadlines.ts";
import { ApiError } from "./errors.ts";

export function parse<S extends z.ZodType>(
  schema: S,
  value: unknown,
  what: string,
  code: ErrorCode = "invalid_request",
): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues
    .slice(0, 5)
    .map((issue) => (issue.path.length > 0 ? `${issue.path.join(".")} ${issue.message}` : issue.message));
  throw new ApiError(code, `The ${what} is not valid: ${faults.join("; ")}.`, "docs/api.md describes what is expected.");
}

/** @throws ApiError 413 above the limit, which holds for what arrives and not for what the client says */
export async function readText(c: Context, maxBytes: number): Promise<string> {
  const tooLarge = new ApiError("payload_too_large", `The body is larger than ${maxBytes} bytes.`, "Send less at once.");
  if (Number(c.req.header("content-length") ?? 0) > maxBytes) throw tooLarge;
  const body = c.req.raw.body;
  if (!body) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

export async function readJson<S extends z.ZodType>(
  c: Context,
  schema: S,
  maxBytes: number = limits.requestBodyBytes,
): Promise<z.output<S>> {
  const text = await readText(c, maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ApiError("invalid_request", "The body is not JSON.", "Send a JSON object with content-type application/json.");
  }
  return parse(schema, value, "body");
}
