/** A small server where a test needs an agent that is there, and nothing of what OpenCode can do. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** As OpenCode does: loads the plugins of its configuration before it answers anything of the workspace. */
export const loadPlugins = `
async function loadPlugins({ url: asked }) {
  if (asked === "/global/health") return;
  for (const url of JSON.parse(process.env.OPENCODE_CONFIG_CONTENT ?? "{}").plugin ?? [])
    for (const plugin of Object.values(await import(url))) await plugin({ directory: process.cwd() });
}
`;

/** @param answerMs how long each answer takes. @returns the command that starts it */
export function writeStubAgent(folder: string, answerMs = 0): string {
  const file = join(folder, "agent.cjs");
  const source = `#!${process.execPath}
${loadPlugins}
const port = Number(process.argv[process.argv.indexOf("--port") + 1]);
require("node:http").createServer((request, response) => {
  setTimeout(async () => {
    await loadPlugins(request);
    if (request.url === "/event") response.write('data: {"type":"server.connected","properties":{}}\\n\\n');
    else response.end(JSON.stringify({ healthy: true, version: "0.0.0" }));
  }, ${answerMs});
}).listen(port, "127.0.0.1", () => console.log("listening on " + port));
`;
  writeFileSync(file, source, { mode: 0o755 });
  return file;
}
