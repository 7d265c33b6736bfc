/** Reads a request's body as text or JSON with a limit on its size. Knows no route. */
import { type Context } from "hono";

/** null: the body is larger. Hono's own limiter needs replaced globals to copy a request. */
export async function readText(c: Context, maxBytes: number): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (c.req.raw.body !== null) {
    for await (const chunk of c.req.raw.body) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) return null;
      chunks.push(chunk);
    }
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** `{ json }`, undefined for an empty body; or why there is none. */
export async function readJson(c: Context, maxBytes: number): Promise<{ json: unknown } | { refused: "too large" | "not JSON" }> {
  const text = await readText(c, maxBytes);
  if (text === null) return { refused: "too large" };
  if (text.trim() === "") return { json: undefined };
  try {
    return { json: JSON.parse(text) };
  } catch {
    return { refused: "not JSON" };
  }
}
