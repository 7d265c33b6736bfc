/**
 * Ids for the agent that follow from the prompt alone, so that sending a prompt twice is sending it once.
 * Pure. The form is OpenCode's own: a prefix, 12 hex digits that sort by time, 14 base62 digits.
 */
import { createHash } from "node:crypto";

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function agentId(prefix: "msg" | "prt", promptId: string, createdAt: number): string {
  const time = ((BigInt(createdAt) * 0x1000n + 1n) & 0xffffffffffffn).toString(16).padStart(12, "0");
  const digest = createHash("sha256").update(`${prefix}:${promptId}`).digest();
  let tail = "";
  for (let index = 0; index < 14; index++) tail += base62[(digest[index] ?? 0) % base62.length];
  return `${prefix}_${time}${tail}`;
}

export interface AgentIds {
  messageId: string;
  partId: string;
}
export const deriveAgentIds = (promptId: string, createdAt: number): AgentIds => ({
  messageId: agentId("msg", promptId, createdAt),
  partId: agentId("prt", promptId, createdAt),
});
