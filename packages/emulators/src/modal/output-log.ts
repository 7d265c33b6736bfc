/**
 * The retained output of one stream: appended once, read by any number of readers from any offset that is still kept.
 * Knows nothing of processes or gRPC.
 */

/** Small writes are joined up to this, so that byte-wise printers do not cost an object per byte. */
const joinedBytes = 16 * 1024;
const readBytes = 1024 * 1024;

export interface OutputLog {
  append(bytes: Uint8Array): void;
  /** No more will come: readers end when they have read everything. */
  close(): void;
  /** Forgets everything that is kept. */
  clear(): void;
  /** first offset that is still kept */
  readonly startOffset: number;
  readonly endOffset: number;
  /**
   * Yields from `offset` on, follows what is appended and returns at the close or when `signal` aborts. Throws
   * `OutputLostError` when the reader asks for, or falls behind, what is kept; an offset beyond the end waits.
   */
  read(offset: number, signal: AbortSignal): AsyncGenerator<{ offset: number; data: Uint8Array }, void, undefined>;
}

export class OutputLostError extends Error {
  override readonly name = "OutputLostError";
  readonly startOffset: number;
  constructor(startOffset: number, limitBytes: number) {
    super(
      `The first ${startOffset} bytes of this output are gone: ${limitBytes} bytes are kept. Read it while it is printed, or send it to a file.`,
    );
    this.startOffset = startOffset;
  }
}

export function createOutputLog(limitBytes: number): OutputLog {
  const chunks: { offset: number; data: Uint8Array }[] = [];
  const listeners = new Set<() => void>();
  let endOffset = 0;
  let startOffset = 0;
  let closed = false;

  const wakeAll = () => {
    for (const listener of listeners) listener();
  };

  function append(bytes: Uint8Array): void {
    if (bytes.length === 0 || closed) return;
    const last = chunks.at(-1);
    if (last && last.data.length + bytes.length <= joinedBytes) {
      last.data = Buffer.concat([last.data, bytes]);
    } else {
      chunks.push({ offset: endOffset, data: bytes });
    }
    endOffset += bytes.length;
    while (chunks[0] && chunks.length > 1 && endOffset - startOffset > limitBytes) {
      chunks.shift();
      startOffset = chunks[0].offset;
    }
    wakeAll();
  }

  function at(offset: number): Uint8Array | null {
    if (offset < startOffset) throw new OutputLostError(startOffset, limitBytes);
    if (offset >= endOffset) return null;
    let low = 0;
    let high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((chunks[middle]?.offset ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const chunk = chunks[low];
    if (!chunk) return null;
    const from = offset - chunk.offset;
    return chunk.data.subarray(from, from + readBytes);
  }

  async function* read(offset: number, signal: AbortSignal) {
    let wake = () => {};
    const listener = () => wake();
    listeners.add(listener);
    signal.addEventListener("abort", listener);
    try {
      let cursor = offset;
      while (!signal.aborted) {
        const data = at(cursor);
        if (data) {
          yield { offset: cursor, data };
          cursor += data.length;
        } else if (closed) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      listeners.delete(listener);
      signal.removeEventListener("abort", listener);
    }
  }

  return {
    append,
    close: () => {
      closed = true;
      wakeAll();
    },
    clear: () => {
      chunks.length = 0;
      startOffset = endOffset;
    },
    get startOffset() {
      return startOffset;
    },
    get endOffset() {
      return endOffset;
    },
    read,
  };
}
