/** The bench's judge of the order of builds: it sees what is out of order, and only that. */
import { expect, it } from "vitest";
import { readSlotEvent, replaySlots, type SlotEvent } from "../bench/slot-order.ts";

const caps = { total: 2, perOwner: 1 };
const asked = (buildId: string, owner: string, dueAt: number, serial: number): SlotEvent => ({
  ...{ event: "slot.asked", buildId, owner, rank: 3, dueAt, serial },
});
const granted = (buildId: string, at: number): SlotEvent => ({ event: "slot.granted", buildId, at });
const freed = (buildId: string): SlotEvent => ({ event: "slot.freed", buildId });
const all = [asked("a1", "a", 5, 1), asked("a2", "a", 3, 2), asked("b1", "b", 4, 3)];

it("slots in the order in which builds are due, within the caps, are in order", () => {
  const events = [...all, granted("a2", 9), granted("b1", 9), freed("b1"), freed("a2"), granted("a1", 9), freed("a1")];
  expect(replaySlots(events, caps)).toEqual({ granted: 3, outOfOrder: 0 });
  // What is not due yet is not passed over.
  expect(replaySlots([...all, granted("a2", 3)], caps)).toEqual({ granted: 1, outOfOrder: 0 });
});

it("a slot given past a build that is due for longer, beyond a cap, or before its time is out of order", () => {
  expect(replaySlots([...all, granted("a1", 9)], caps).outOfOrder).toBe(1);
  expect(replaySlots([...all, granted("a2", 9), granted("a1", 9)], caps).outOfOrder).toBe(1);
  expect(replaySlots([...all, granted("a2", 2)], caps).outOfOrder).toBe(1);
});

it("reads the Worker's own lines and nothing else", () => {
  const line = { level: "info", event: "slot.granted", object: "build-slots", buildId: "bld_1", at: 7, waitedMs: 2 };
  expect(readSlotEvent(`  ${JSON.stringify(line)}`)).toEqual(granted("bld_1", 7));
  expect(readSlotEvent('{"event":"slot.not_told","buildId":"bld_1"}')).toBeNull();
  expect(readSlotEvent("slot.")).toBeNull();
});
