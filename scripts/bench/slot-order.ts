/**
 * Replays the log of build slots and finds every slot that was given to a build while another was to go first. It shares nothing with the code
 * that gives slots away: it is how that code is judged.
 */
import { z } from "zod";

const slotEventSchema = z.discriminatedUnion("event", [
  z.object({
    ...{ event: z.literal("slot.asked"), buildId: z.string(), owner: z.string() },
    ...{ rank: z.number(), dueAt: z.number(), serial: z.number() },
  }),
  z.object({ event: z.literal("slot.granted"), buildId: z.string(), at: z.number() }),
  z.object({ event: z.literal("slot.freed"), buildId: z.string() }),
]);
export type SlotEvent = z.output<typeof slotEventSchema>;
type Asked = Extract<SlotEvent, { event: "slot.asked" }>;

/** Null where the line tells of something else. */
export function readSlotEvent(line: string): SlotEvent | null {
  if (!line.includes('"slot.')) return null;
  try {
    return slotEventSchema.parse(JSON.parse(line.slice(line.indexOf("{"), line.lastIndexOf("}") + 1)));
  } catch {
    return null;
  }
}

/** How many slots were given, and how many of them beyond a cap or before a build that goes first. */
export function replaySlots(events: readonly SlotEvent[], caps: { total: number; perOwner: number }) {
  const waiting = new Map<string, Asked>();
  const running = new Map<string, string>();
  let granted = 0;
  let outOfOrder = 0;
  const many = (owner: string) => [...running.values()].filter((one) => one === owner).length;
  const before = (a: Asked, b: Asked) =>
    many(a.owner) - many(b.owner) || a.rank - b.rank || a.dueAt - b.dueAt || a.serial - b.serial;
  for (const event of events) {
    if (event.event === "slot.asked") waiting.set(event.buildId, event);
    else if (event.event === "slot.freed") running.delete(event.buildId);
    else {
      const chosen = waiting.get(event.buildId);
      if (!chosen) continue;
      granted += 1;
      const able = [...waiting.values()].filter((one) => one.dueAt <= event.at && many(one.owner) < caps.perOwner);
      if (running.size >= caps.total || !able.includes(chosen) || able.some((one) => before(one, chosen) < 0)) outOfOrder += 1;
      waiting.delete(event.buildId);
      running.set(event.buildId, chosen.owner);
    }
  }
  return { granted, outOfOrder };
}
