/**
 * The edit gate: a plugin inside the agent that lets files be changed only when a file of ours says so. Writes both, and checks that
 * the plugin has taken its place: OpenCode goes on without a word when it cannot load one. Knows no git.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const readySchema = z.object({ pid: z.number(), nonce: z.string() });

export interface EditGate {
  /** for OpenCode's configuration */
  readonly pluginUrl: string;
  /** for OpenCode's environment */
  readonly env: Record<string, string>;
  isOpen(): boolean;
  /** @param changed the only files that stay closed to editing tools; null: everything is closed */
  close(changed: string[] | null): void;
  open(): void;
  /** Before the agent loads its plugins: what an earlier one said counts no more. */
  expectProof(): void;
  /** The plugin is at work in the process with this pid. */
  isProved(pid: number): boolean;
}

/** Closed at first. Throws when the files cannot be written. */
export function createEditGate(stateDir: string, plugin: string): EditGate {
  const nonce = randomBytes(16).toString("hex");
  const pluginFile = join(stateDir, "agent-plugin.mjs");
  const gateFile = join(stateDir, "edit-gate.json");
  const readyFile = join(stateDir, "edit-gate.ready");
  let isOpen = false;
  /** Whole or not at all: a reader that finds half a file takes the gate for closed, which would be a wait for nothing. */
  const write = (file: string, text: string) => {
    writeFileSync(`${file}.partial`, text, { mode: 0o600 });
    renameSync(`${file}.partial`, file);
  };
  const gate: EditGate = {
    pluginUrl: `file://${pluginFile}`,
    env: { OPEN_INSPECT_BOOT: nonce },
    isOpen: () => isOpen,
    close(changed) {
      isOpen = false;
      write(gateFile, JSON.stringify({ state: "closed", changed }));
    },
    open() {
      write(gateFile, JSON.stringify({ state: "open" }));
      isOpen = true;
    },
    expectProof: () => rmSync(readyFile, { force: true }),
    isProved(pid) {
      try {
        const ready = readySchema.parse(JSON.parse(readFileSync(readyFile, "utf8")));
        return ready.pid === pid && ready.nonce === nonce;
      } catch {
        return false;
      }
    },
  };
  gate.close(null);
  gate.expectProof();
  write(pluginFile, plugin);
  return gate;
}
