import { describe, expect, it } from "vitest";
import { createOutputLog, type OutputLog, OutputLostError } from "../../src/modal/output-log.ts";

const never = new AbortController().signal;
async function readAll(log: OutputLog, offset = 0, signal = never): Promise<string> {
  let text = "";
  for await (const { data } of log.read(offset, signal)) text += Buffer.from(data).toString();
  return text;
}

describe("retained output", () => {
  it("is the same from every offset, however it was written", async () => {
    const log = createOutputLog(1_000_000);
    const whole = Array.from({ length: 2000 }, (_each, index) => `${index},`).join("");
    for (let at = 0, size = 1; at < whole.length; at += size, size = (size * 7) % 501 || 1) {
      log.append(Buffer.from(whole.slice(at, at + size)));
    }
    log.close();
    for (const offset of [0, 1, 777, whole.length - 1, whole.length]) {
      expect(await readAll(log, offset)).toBe(whole.slice(offset));
    }
  });

  it("reaches a reader that came first, and ends with the close", async () => {
    const log = createOutputLog(1000);
    const reading = readAll(log);
    log.append(Buffer.from("a"));
    await Promise.resolve();
    log.append(Buffer.from("b"));
    log.close();
    expect(await reading).toBe("ab");
  });

  it("ends for a reader that goes away", async () => {
    const log = createOutputLog(1000);
    const gone = new AbortController();
    const reading = readAll(log, 0, gone.signal);
    log.append(Buffer.from("a"));
    gone.abort();
    expect(["", "a"]).toContain(await reading);
  });

  it("drops the oldest beyond its limit and says so", async () => {
    const log = createOutputLog(100_000);
    for (let each = 0; each < 10; each++) log.append(Buffer.alloc(20_000, each));
    log.close();
    expect(log.endOffset - log.startOffset).toBe(100_000);
    await expect(readAll(log, 0)).rejects.toBeInstanceOf(OutputLostError);
    expect((await readAll(log, log.startOffset)).length).toBe(100_000);
  });
});
