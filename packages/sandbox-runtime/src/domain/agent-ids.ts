/**
 * Ids for the agent that follow from the prompt alone, so that sending a prompt twice is sending it once.
 * Pure. The form is OpenCode's own: a prefix, 12 hex digits that sort by time, 14 base62 digits.
 */
import { createHash } from "node:crypto";

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function agentId(prefix: "msg" | "prt", promptId: string, createdAt: number, index: number): string {
  const time = ((BigInt(createdAt) * 0x1000n + BigInt(index + 1)) & 0xffffffffffffn).toString(16).padStart(12, "0");
  const digest = createHash("sha256")
    .update(index === 0 ? `${prefix}:${promptId}` : `${prefix}:${promptId}:${index}`)
    .digest();
  let tail = "";
  for (let index = 0; index < 14; index++) tail += base62[(digest[index] ?? 0) % base62.length];
  return `${prefix}_${time}${tail}`;
}

export interface AgentIds {
  messageId: string;
  /** of the part at this place in the prompt; ids sort by place */
  partId(index: number): string;
}
export const deriveAgentIds = (promptId: string, createdAt: number): AgentIds => ({
  messageId: agentId("msg", promptId, createdAt, 0),
  partId: (index) => agentId("prt", promptId, createdAt, index),
});
