/** Cutting text by bytes and keeping its last lines. Pure: strings in, strings out. */
import { failureLinesMax } from "@open-inspect/protocol";

const encoder = new TextEncoder();

export function utf8Bytes(text: string): number {
  return Buffer.byteLength(text, "utf8");
}

/** Splits text into pieces of at most `maxBytes` bytes of UTF-8 each, never inside a character. */
export function splitByBytes(text: string, maxBytes: number): string[] {
  if (utf8Bytes(text) <= maxBytes) return text === "" ? [] : [text];
  const pieces: string[] = [];
  const buffer = new Uint8Array(maxBytes);
  for (let rest = text; rest !== ""; ) {
    const { read } = encoder.encodeInto(rest, buffer);
    // `read` is 0 only when a single character is larger than the limit.
    const take = Math.max(read, 1);
    pieces.push(rest.slice(0, take));
    rest = rest.slice(take);
  }
  return pieces;
}

/** The end of `text` that fits into `maxBytes` bytes of UTF-8. */
export function tailByBytes(text: string, maxBytes: number): string {
  const bytes = utf8Bytes(text);
  if (bytes <= maxBytes) return text;
  const buffer = Buffer.from(text, "utf8");
  let start = bytes - maxBytes;
  // Step over continuation bytes, so that the cut is at the beginning of a character.
  while (start < bytes && ((buffer[start] ?? 0) & 0xc0) === 0x80) start++;
  return buffer.toString("utf8", start);
}

/** Escape sequences of terminals: CSI, OSC and the short ones. */
const ansi =
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_]|[ -/]+[0-~])|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

export function stripAnsi(text: string): string {
  return text.replace(ansi, "");
}

/** A carriage return overwrites the line: what follows the last one is what stays on the screen. */
function afterLastReturn(line: string): string {
  const text = line.replace(/\r+$/, "");
  return text.slice(text.lastIndexOf("\r") + 1);
}

const lineMaxCharacters = 1000;
const keptCharacters = 64 * 1024;

/** Keeps the end of a stream of text and gives its last lines as a person would have seen them. */
export function createLastLines(maxLines: number = failureLinesMax): { push(text: string): void; lines(): string[] } {
  let kept = "";
  return {
    push(text) {
      kept = text.length >= keptCharacters ? text.slice(-keptCharacters) : kept + text;
      // Cut seldom: slicing at every small write would copy the buffer each time.
      if (kept.length > 2 * keptCharacters) kept = kept.slice(-keptCharacters);
    },
    lines() {
      return kept
        .split("\n")
        .map((line) => stripAnsi(afterLastReturn(line)).trimEnd().slice(0, lineMaxCharacters))
        .filter((line) => line !== "")
        .slice(-maxLines);
    },
  };
}
