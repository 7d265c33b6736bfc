/** What a warm pool remembers, and how it looks from outside. Pure data; the decisions are in `warm-pool.ts`. */
import { type ColdReasonCode, type PoolView, type SessionSettings } from "@open-inspect/protocol";
import { createColdReason } from "./failures.ts";
import { type StoredImage } from "./image-selection.ts";
import { type LocalHour } from "./local-hour.ts";
import { type ColdHistory } from "./receipt.ts";

/** What a member is made of. */
export interface PoolSource {
  repository: { owner: string; name: string; cloneUrl: string; installationId: number };
  branch: string;
  image: StoredImage;
  history: ColdHistory;
}

export type PoolMember =
  | { id: string; imageId: string; at: "starting" | "ready"; since: number }
  /** given to a session that has not said yet that it has it */
  | { id: string; imageId: string; at: "taken"; until: number }
  /** asked to end */
  | { id: string; imageId: string; at: "ending" };

export interface PoolState {
  /** empty: nobody has ever named this pool's repository here */
  scope: string;
  settings: SessionSettings;
  hour: LocalHour;
  /** number of the newest look at the active image; answers to older ones count no more */
  ask: number;
  /** null: sessions would start cold now, so there is nothing to stand ready */
  source: PoolSource | null;
  /** why, where that is known */
  cold: ColdReasonCode | null;
  members: PoolMember[];
  /** members that failed one after the other */
  failures: number;
  /** nothing is filled before this moment */
  retryAt: number;
  /** of the last failure */
  problem: string | null;
}

/** Whether sandboxes are to stand ready in this hour. */
export const isOpen = ({ settings: { poolSize, poolHours }, hour }: PoolState): boolean =>
  poolSize > 0 && (poolHours.length === 0 || poolHours.includes(hour.hour));

export function poolViewOf(state: PoolState, isFilling: boolean): PoolView {
  const { settings, members, source, cold, problem } = state;
  const count = (at: PoolMember["at"]): number => members.filter((one) => one.at === at).length;
  const view = { settings, ready: count("ready"), starting: count("starting") };
  if (!isOpen(state)) return { ...view, problem: null };
  if (problem !== null)
    return { ...view, problem: isFilling ? problem : `${problem} It is not tried again by itself: save the settings to try.` };
  const reason = source === null && cold !== null ? createColdReason(cold) : null;
  return { ...view, problem: reason && `There is no image to start from. ${reason.message} ${reason.hint}` };
}
