/** Keeps the last lines of an output of any length. Pure. */

const keptBytes = 16 * 1024;

export interface OutputTail {
  add(bytes: Uint8Array): void;
  text(): string;
}

export function createOutputTail(lines: number): OutputTail {
  let kept = Buffer.alloc(0);
  return {
    add: (bytes) => {
      const joined = Buffer.concat([kept, bytes]);
      kept = joined.subarray(Math.max(0, joined.length - keptBytes));
    },
    text: () => kept.toString("utf8").trimEnd().split("\n").slice(-lines).join("\n") || "(it printed nothing)",
  };
}
