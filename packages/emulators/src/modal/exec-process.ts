/**
 * One process of a sandbox as the router shows it: retained output by offset, stdin by offset, an exit code that can be
 * awaited many times. Knows nothing of gRPC messages or of sandboxes.
 */
import { Status } from "nice-grpc";
import { type GuestProcess } from "./engine/engine.ts";
import { createOutputLog, type OutputLog } from "./output-log.ts";
import { fail } from "./rpc.ts";

export interface ExecProcess {
  readonly stdout: OutputLog;
  readonly stderr: OutputLog;
  /** null while it runs */
  readonly exitCode: number | null;
  readonly exit: Promise<number>;
  /**
   * Bytes below what was written already are skipped, so a repeated write is harmless; a gap fails with OUT_OF_RANGE, a
   * write after the end of stdin or of the process with FAILED_PRECONDITION.
   */
  writeStdin(offset: number, data: Uint8Array, eof: boolean): Promise<void>;
  stdinStatus(): { numBytesWritten: number; closed: boolean };
  /** A later call takes the stream over: the earlier one's signal aborts. */
  takeStdin(): AbortSignal;
}

export interface OutputRouting {
  /** null: discarded */
  stdout: "stdout" | null;
  stderr: "stdout" | "stderr" | null;
}

/** @param keptBytes of each output stream */
export function createExecProcess(process: GuestProcess, routing: OutputRouting, keptBytes: number): ExecProcess {
  const stdout = createOutputLog(keptBytes);
  const stderr = createOutputLog(keptBytes);
  let exitCode: number | null = null;
  let written = 0;
  let closed = false;
  let writes: Promise<void> = Promise.resolve();
  let holder = new AbortController();

  process.onOutput((fd, bytes) => {
    const target = fd === 1 ? routing.stdout : routing.stderr;
    if (target === "stdout") stdout.append(bytes);
    if (target === "stderr") stderr.append(bytes);
  });
  const exit = process.exit.then((code) => {
    exitCode = code;
    stdout.close();
    stderr.close();
    return code;
  });

  async function write(offset: number, data: Uint8Array, eof: boolean): Promise<void> {
    if (offset > written) fail(Status.OUT_OF_RANGE, `Standard input is at ${written}, the write starts at ${offset}.`);
    const rest = data.subarray(written - offset);
    if (rest.length > 0) {
      if (closed || exitCode !== null) fail(Status.FAILED_PRECONDITION, "Standard input of this process is closed.");
      // a process that ends meanwhile will never take the bytes
      const taken = await Promise.race([process.write(rest).then(() => true), exit.then(() => false)]).catch(() => false);
      if (!taken) fail(Status.FAILED_PRECONDITION, "The process no longer reads its standard input.");
      written += rest.length;
    }
    if (eof && !closed) {
      closed = true;
      // the process may have ended meanwhile: its stdin is closed either way
      await Promise.race([process.closeStdin().catch(() => {}), exit]);
    }
  }

  return {
    stdout,
    stderr,
    get exitCode() {
      return exitCode;
    },
    exit,
    writeStdin: (offset, data, eof) => {
      const result = writes.then(() => write(offset, data, eof));
      writes = result.catch(() => {});
      return result;
    },
    stdinStatus: () => ({ numBytesWritten: written, closed }),
    takeStdin: () => {
      holder.abort();
      holder = new AbortController();
      return holder.signal;
    },
  };
}
