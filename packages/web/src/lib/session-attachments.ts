/** Files that go along with a prompt: read, sized and recognised in the browser; what cannot be taken is refused in words. Knows no page. */
import { type AttachmentInput, attachmentMaxBytes, attachmentMimes, attachmentsMax } from "@open-inspect/protocol";
import { formatBytes } from "./time.ts";

export interface DraftAttachment extends AttachmentInput {
  /** stable while it is being written with */
  key: string;
  sizeBytes: number;
}

export interface TakenFiles {
  taken: DraftAttachment[];
  /** one sentence for each file that was refused */
  refusals: string[];
}

type Mime = AttachmentInput["mime"];
const isMime = (type: string): type is Mime => attachmentMimes.some((each) => each === type);
const extensions: Record<string, Mime> = {
  md: "text/markdown",
  markdown: "text/markdown",
  csv: "text/csv",
  json: "application/json",
};

/** Resolves to what stands after the comma of a data URL. */
function readBase64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onerror = () => reject(reader.error ?? new Error("unreadable"));
    reader.onload = () => resolve(typeof reader.result === "string" ? reader.result.slice(reader.result.indexOf(",") + 1) : "");
    reader.readAsDataURL(file);
  });
}

/** Source files come under many types or none: whatever reads as UTF-8 without a NUL is text. */
function isText(base64: string): boolean {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return !new TextDecoder("utf-8", { fatal: true }).decode(bytes).includes("\0");
  } catch {
    return false;
  }
}

function mimeOf(file: File, base64: string): Mime | null {
  const type = file.type.split(";")[0]?.trim() ?? "";
  if (isMime(type)) return type;
  if (type.startsWith("image/") && type !== "image/svg+xml") return null;
  if (!isText(base64)) return null;
  return extensions[file.name.split(".").at(-1)?.toLowerCase() ?? ""] ?? "text/plain";
}

/** @param taken how many are there already */
export async function readAttachments(files: readonly File[], taken: number): Promise<TakenFiles> {
  const result: TakenFiles = { taken: [], refusals: [] };
  for (const file of files) {
    const name = file.name.trim().slice(-200) || "pasted";
    if (taken + result.taken.length >= attachmentsMax) {
      result.refusals.push(`${name} was left out: at most ${attachmentsMax} files go with a prompt.`);
    } else if (file.size > attachmentMaxBytes) {
      result.refusals.push(`${name} is too large: ${formatBytes(file.size)} of at most ${formatBytes(attachmentMaxBytes)}.`);
    } else {
      const data = await readBase64(file).catch(() => null);
      const mime = data === null ? null : mimeOf(file, data);
      if (data === null) result.refusals.push(`${name} could not be read.`);
      else if (mime === null) result.refusals.push(`${name} is neither text nor a PNG, JPEG, GIF or WebP image.`);
      else result.taken.push({ key: crypto.randomUUID(), name, mime, data, sizeBytes: file.size });
    }
  }
  return result;
}

/** As a request brings it. */
export const toInput = ({ name, mime, data }: DraftAttachment): AttachmentInput => ({ name, mime, data });

export const isImage = ({ mime }: { mime: string }): boolean => mime.startsWith("image/");

/** Shown from memory: the page's policy lets images come from here and from data URLs only. */
export const previewAddress = ({ mime, data }: DraftAttachment): string => `data:${mime};base64,${data}`;
