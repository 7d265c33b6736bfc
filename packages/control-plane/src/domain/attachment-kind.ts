/** Whether bytes are what an attachment says that it is. A model refuses a mislabelled image, and with it every later turn of the conversation. Pure. */
import { type Attachment } from "@open-inspect/protocol";

type Mime = Attachment["mime"];
/** The bytes that a kind begins with; null stands for any. */
const beginnings: Partial<Record<Mime, (number | null)[][]>> = {
  "image/png": [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]],
  "image/jpeg": [[0xff, 0xd8, 0xff]],
  "image/gif": [ascii("GIF87a"), ascii("GIF89a")],
  "image/webp": [[...ascii("RIFF"), null, null, null, null, ...ascii("WEBP")]],
};

/** Images by how they begin; everything else is text in UTF-8. */
export function isOfKind(mime: Mime, bytes: Uint8Array): boolean {
  const known = beginnings[mime];
  if (!known) return isText(bytes);
  return known.some((beginning) => beginning.every((byte, at) => at < bytes.byteLength && (byte === null || byte === bytes[at])));
}

function ascii(text: string): number[] {
  return [...text].map((character) => character.charCodeAt(0));
}

function isText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
