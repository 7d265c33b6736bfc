/** Reads what is attached to a prompt from the control plane and puts it into the agent's form. Knows no queue and no agent. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Attachment } from "@open-inspect/protocol";

/** A part of a prompt as OpenCode takes it, without its id. */
export type AgentInput = { type: "text"; text: string } | { type: "file"; mime: string; filename: string; url: string };

const readTimeoutMs = 20_000;
const retryDelaysMs = [500, 2_000] as const;
/** A longer text is put into a file: within the prompt it would fill the model's whole context. */
const inlineMaxCharacters = 100_000;

/** Why an attachment cannot be used, as a sentence for the person who attached it. */
export class AttachmentUnreadable extends Error {}

/** Rejects with AttachmentUnreadable. @param folder where long texts go */
export async function readAttachments(
  attachments: readonly Attachment[],
  source: { bridgeUrl: string; token: string; folder: string; signal: AbortSignal },
): Promise<AgentInput[]> {
  return Promise.all(
    attachments.map(async (attachment) => toInput(attachment, await readBytes(attachment, source), source.folder)),
  );
}

async function toInput(attachment: Attachment, bytes: Buffer, folder: string): Promise<AgentInput> {
  const { id, name, mime } = attachment;
  if (mime.startsWith("image/"))
    return { type: "file", mime, filename: name, url: `data:${mime};base64,${bytes.toString("base64")}` };
  const text = bytes.toString("utf8");
  const opening = `<attachment name=${JSON.stringify(name)} type="${mime}"`;
  if (text.length <= inlineMaxCharacters) return { type: "text", text: `${opening}>\n${text}\n</attachment>` };
  const file = join(folder, `${id}-${name.replace(/[^\w.-]+/g, "_").slice(-100)}`);
  await mkdir(folder, { recursive: true });
  await writeFile(file, bytes);
  return { type: "text", text: `${opening} file=${JSON.stringify(file)}>It is long: read the file.</attachment>` };
}

async function readBytes(
  attachment: Attachment,
  { bridgeUrl, token, signal }: { bridgeUrl: string; token: string; signal: AbortSignal },
): Promise<Buffer> {
  const url = new URL(bridgeUrl);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  url.pathname = `${url.pathname.replace(/\/$/, "")}/attachments/${encodeURIComponent(attachment.id)}`;
  const fail = (reason: string) =>
    new AttachmentUnreadable(`The attachment ${attachment.name} could not be read: ${reason}. Attach it again.`);
  for (let attempt = 0; ; attempt++) {
    const reason = await readOnce(url, token, attachment.sizeBytes, signal);
    if (typeof reason !== "string") return reason;
    const delayMs = retryDelaysMs[attempt];
    if (delayMs === undefined || signal.aborted || !reason.startsWith(transient)) throw fail(reason);
    await sleep(delayMs);
  }
}

const transient = "the control plane could not be reached";

/** The bytes, or why there are none. */
async function readOnce(url: URL, token: string, sizeBytes: number, signal: AbortSignal): Promise<Buffer | string> {
  try {
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(readTimeoutMs)]),
      redirect: "error",
    });
    if (!response.ok || !response.body) {
      await response.body?.cancel();
      if (response.status >= 500) return `${transient} (HTTP ${response.status})`;
      return response.status === 404 ? "the control plane does not have it" : `the control plane answered ${response.status}`;
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body) {
      size += chunk.length;
      if (size > sizeBytes) return `it has more than the ${sizeBytes} bytes that were announced`;
      chunks.push(chunk);
    }
    return size === sizeBytes ? Buffer.concat(chunks) : `it has ${size} bytes instead of ${sizeBytes}`;
  } catch (error) {
    return `${transient} (${error instanceof Error ? error.message : String(error)})`;
  }
}
