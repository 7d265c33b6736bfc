/** The processes of one sandbox by exec id: started once per id, kept for readers within bounds. Knows nothing of gRPC messages. */
import { Status } from "nice-grpc";
import { type ExecSpec, type Guest, type GuestProcess } from "./engine/engine.ts";
import { createExecProcess, type ExecProcess, type OutputRouting } from "./exec-process.ts";
import { fsToolsPath, startFsTool } from "./fs-tools.ts";
import { fail } from "./rpc.ts";

const keptFinished = 256;
const keptFinishedBytes = 256 * 1024 * 1024;

export interface Execs {
  /** A second start of the same id is a no-op. Resolves when the process has been started. */
  start(id: string, spec: ExecSpec, routing: OutputRouting): Promise<void>;
  /** Fails with NOT_FOUND for an id that was never started or is no longer kept. */
  get(id: string): Promise<ExecProcess>;
  readonly runningCount: number;
  clear(): void;
}

/** @param keptBytes of each output stream of a process */
export function createExecs(guest: Guest, keptBytes: number, onChange: () => void): Execs {
  const byId = new Map<string, Promise<ExecProcess>>();
  const finished: { id: string; process: ExecProcess }[] = [];
  let runningCount = 0;

  function evict(): void {
    let bytes = finished.reduce((sum, { process }) => sum + sizeOf(process), 0);
    while (finished.length > 1 && (finished.length > keptFinished || bytes > keptFinishedBytes)) {
      const oldest = finished.shift();
      if (!oldest) return;
      bytes -= sizeOf(oldest.process);
      byId.delete(oldest.id);
    }
  }

  async function launch(id: string, spec: ExecSpec, routing: OutputRouting): Promise<ExecProcess> {
    const command = spec.argv[0] === fsToolsPath ? spec.argv[1] : undefined;
    let raw: GuestProcess;
    runningCount += 1;
    try {
      raw = command === undefined ? await guest.exec(spec) : await startFsTool(guest, command);
    } catch (cause) {
      runningCount -= 1;
      throw cause;
    }
    const process = createExecProcess(raw, routing, keptBytes);
    onChange();
    void process.exit.then(() => {
      runningCount -= 1;
      finished.push({ id, process });
      evict();
      onChange();
    });
    return process;
  }

  return {
    start: async (id, spec, routing) => {
      let starting = byId.get(id);
      if (!starting) {
        starting = launch(id, spec, routing);
        byId.set(id, starting);
        // a start that failed may be repeated with the same id
        starting.catch(() => byId.delete(id));
      }
      await starting;
    },
    get: (id) => byId.get(id) ?? fail(Status.NOT_FOUND, `Process ${id} is unknown, or ended so long ago that it is forgotten.`),
    get runningCount() {
      return runningCount;
    },
    clear: () => {
      byId.clear();
      finished.length = 0;
    },
  };
}

function sizeOf({ stdout, stderr }: ExecProcess): number {
  return stdout.endOffset - stdout.startOffset + stderr.endOffset - stderr.startOffset;
}
