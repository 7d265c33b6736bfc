/** A running system for end-to-end tests: real parts on free ports, data in a folder that is gone afterwards. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { type Api, createApi, until } from "../api.ts";
import { type System, type SystemOptions, startSystem } from "../system.ts";
import { createWitness, type Witness } from "../witness.ts";

export interface TestSystem {
  system: System;
  api: Api;
  witness: Witness;
  dataDir: string;
  /** A commit made at GitHub itself, for when its git is out of order. */
  commitAtGithub(repository: string, files: Record<string, string>): Promise<void>;
  /** An empty repository of its own for a test. */
  createRepository(name: string, owner?: string): Promise<string>;
  /** What a person does in GitHub's settings: a call of the emulator's own routes. */
  changeGithub(method: "POST" | "PATCH" | "PUT" | "DELETE", path: string, body?: unknown): Promise<void>;
  /** Injects a failure into the emulated Modal or GitHub. */
  faultModal(fault: {
    method: string;
    kind: "error" | "latency" | "hang";
    code?: string;
    ms?: number;
    times: number;
  }): Promise<void>;
  faultGithub(fault: { match: string; kind: "status" | "hang" | "cut" | "latency"; code?: number; times: number }): Promise<void>;
  clearFaults(): Promise<void>;
  /** sandboxes that run at the provider now */
  runningSandboxes(): Promise<{ id: string; name: string }[]>;
  /** every sandbox that the provider remembers, ended ones too */
  allSandboxes(): Promise<{ id: string; name: string; imageId: string }[]>;
  untilNoSandboxes(): Promise<void>;
  /** ids of the snapshots that the provider has */
  snapshots(): Promise<string[]>;
  /** Ends a sandbox from outside, as a crash of its machine would. */
  killSandbox(id: string): Promise<void>;
  close(): Promise<void>;
}

const sandboxesSchema = z.object({
  sandboxes: z.array(z.object({ id: z.string(), name: z.string().nullable(), imageId: z.string(), status: z.string() })),
});
const imagesSchema = z.object({ images: z.array(z.object({ id: z.string(), origin: z.object({ kind: z.string() }) })) });

export async function startTestSystem(options: Pick<SystemOptions, "vars" | "base" | "engine"> = {}): Promise<TestSystem> {
  const dataDir = mkdtempSync(join(tmpdir(), "open-inspect-test-"));
  const logFile = join(dataDir, "system.log");
  const system = await startSystem({
    dataDir,
    port: 0,
    webhooks: false,
    ...options,
    log: (line, part) => appendFileSync(logFile, `${part ?? "system"}: ${line}\n`),
  }).catch((error) => {
    const tail = readFileSync(logFile, "utf8").split("\n").slice(-60).join("\n");
    rmSync(dataDir, { recursive: true, force: true });
    throw new Error(`${error}\n${tail}`);
  });

  async function call(method: string, url: string, body?: unknown) {
    const answer = await fetch(url, {
      method,
      headers: {
        "x-emulator-token": system.credentials.emulatorAdminToken,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
  }
  const post = (url: string, body: unknown) => call("POST", url, body);
  async function allSandboxes() {
    const answer = await fetch(`${system.modalAdminUrl}/sandboxes`);
    const { sandboxes } = sandboxesSchema.parse(await answer.json());
    return sandboxes.map((one) => ({ ...one, name: one.name ?? "" }));
  }
  const runningSandboxes = async () => (await allSandboxes()).filter((one) => one.status === "running");
  return {
    system,
    api: createApi(system.url),
    witness: createWitness(system),
    dataDir,
    async createRepository(name, owner = "acme") {
      await post(`${system.githubUrl}/__emulator/repositories`, { owner, name, empty: true });
      await fetch(`${system.url}/api/repositories?sync=force`);
      return `${owner}/${name}`;
    },
    changeGithub: (method, path, body) => call(method, `${system.githubUrl}/__emulator${path}`, body),
    commitAtGithub: (repository, files) =>
      post(`${system.githubUrl}/__emulator/repositories/${repository}/commits`, { message: "Edit on the web", files }),
    faultModal: (fault) => post(`${system.modalAdminUrl}/faults`, fault),
    faultGithub: (fault) => post(`${system.githubUrl}/__emulator/faults`, fault),
    async clearFaults() {
      await fetch(`${system.modalAdminUrl}/faults`, { method: "DELETE" });
      const headers = { "x-emulator-token": system.credentials.emulatorAdminToken };
      await fetch(`${system.githubUrl}/__emulator/faults`, { method: "DELETE", headers });
    },
    runningSandboxes,
    allSandboxes,
    async snapshots() {
      const answer = await fetch(`${system.modalAdminUrl}/images`);
      const { images } = imagesSchema.parse(await answer.json());
      return images.filter((one) => one.origin.kind === "snapshot").map((one) => one.id);
    },
    async untilNoSandboxes() {
      let left: { name: string | null }[] = [];
      const none = until("no sandbox left", 30_000, async () => {
        left = await runningSandboxes();
        return left.length === 0 ? true : null;
      });
      await none.catch((error: Error) => {
        throw new Error(`${error.message}: ${left.map(({ name }) => name).join(", ")}`);
      });
    },
    killSandbox: (id) => post(`${system.modalAdminUrl}/sandboxes/${id}/kill`, { reason: "died" }),
    async close() {
      await system.stop();
      if (process.env.KEEP_DATA === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
