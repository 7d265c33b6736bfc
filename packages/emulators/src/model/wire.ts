/** What both wire formats share: pieces of a stream and an estimate of tokens. Pure. */

export interface StreamItem {
  /** to wait before it is written */
  delayMs: number;
  text: string;
}

export interface Usage {
  inputTokens: number;
  outputTokens: number;
}

const charactersPerToken = 4;
export const countTokens = (text: string): number => Math.max(1, Math.ceil(text.length / charactersPerToken));

/** Pieces of `size` characters, never inside a surrogate pair. */
export function* chunks(text: string, size: number): Generator<string> {
  const characters = [...text];
  for (let at = 0; at < characters.length; at += size) yield characters.slice(at, at + size).join("");
}
