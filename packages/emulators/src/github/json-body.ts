/** Reads a request's body as JSON with a limit on its size. Knows no route. */
import { type Context } from "hono";

/** `{ json }`, undefined for an empty body; or why there is none. Hono's own limiter needs replaced globals to copy a request. */
export async function readJson(c: Context, maxBytes: number): Promise<{ json: unknown } | { refused: "too large" | "not JSON" }> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (c.req.raw.body !== null) {
    for await (const chunk of c.req.raw.body) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) return { refused: "too large" };
      chunks.push(chunk);
    }
  }
  const text = Buffer.concat(chunks).toString("utf8");
  if (text.trim() === "") return { json: undefined };
  try {
    return { json: JSON.parse(text) };
  } catch {
    return { refused: "not JSON" };
  }
}
