/** The runtime as a program of its own with other paths: what the sandbox's `main.ts` is, for a machine that is no sandbox. */
import { readFileSync } from "node:fs";
import { runtimeConfigSchema } from "@open-inspect/protocol";
import { z } from "zod";
import { runRuntime } from "../../src/runtime.ts";

const [optionsPath = ""] = process.argv.slice(2);
const path = z.string();
const options = z
  .object({
    paths: z.object({
      workspace: path,
      home: path,
      runtimeDir: path,
      runtimeBundle: path,
      stateDir: path,
      runtimeLog: path,
    }),
    agentCommand: z.string(),
    cgroupDir: path,
  })
  .parse(JSON.parse(readFileSync(optionsPath, "utf8")));

let text = "";
for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
process.exit(await runRuntime(runtimeConfigSchema.parse(JSON.parse(text)), { ...options, agentPort: 0, runtimeVersion: "test" }));
