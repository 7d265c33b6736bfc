/** A sandbox that begins while the first prompt is being typed. A head start and nothing else: whatever goes wrong with it is silent. */
import { type ReserveSessionRequest } from "@open-inspect/protocol";
import { type Api } from "./api.ts";

export interface ReservationInput {
  /** owner/name */
  repository: string;
  /** absent: the default branch */
  branch?: string | undefined;
  model?: string | undefined;
}

/** `starting`: there is or will be a sandbox that a session could take. `ready`: its agent would answer at once. */
export type ReservationState = "none" | "starting" | "ready";

export interface ReservationHandle {
  /** For every keystroke. The first one reserves at once; another repository or branch does when it has rested for a moment. */
  touch(input: ReservationInput): void;
  /** What `POST /sessions` is told; the next keystroke reserves anew. Undefined: there is nothing to take. */
  take(): string | undefined;
  /** Asks for nothing any more, and gives back what was reserved. */
  drop(): void;
  subscribe(listener: () => void): () => void;
  state(): ReservationState;
}

/** between two requests that keep a reservation, and after one that failed */
export const renewMs = 30_000;
/** another repository or branch has to rest for so long */
export const settleMs = 400;
/** between two questions whether a reserved sandbox is ready */
export const askReadyMs = 2_000;
const askReadyMax = 15;

const keyOf = ({ repository, branch }: ReservationInput): string => `${repository.toLowerCase()} ${branch ?? ""}`;

export function createReservation(api: Pick<Api, "reserveSession" | "releaseReservation">): ReservationHandle {
  const listeners = new Set<() => void>();
  let wanted: ReservationInput | null = null;
  let held: { id: string; key: string; isReady: boolean } | null = null;
  /** what the newest request was for, and when it left */
  let asked: { key: string; at: number } | null = null;
  let taken: string | undefined;
  /** rises with everything that makes an answer under way too late */
  let turn = 0;
  let isAsking = false;
  let questions = 0;
  let nextTimer: ReturnType<typeof setTimeout> | undefined;
  let endTimer: ReturnType<typeof setTimeout> | undefined;
  let shown: ReservationState = "none";

  function tell(): void {
    const key = wanted && keyOf(wanted);
    const isHeld = held !== null && held.key === key;
    const now = isHeld ? (held?.isReady ? "ready" : "starting") : isAsking && asked?.key === key ? "starting" : "none";
    if (now === shown) return;
    shown = now;
    for (const listener of [...listeners]) listener();
  }

  function later(waitMs: number): void {
    clearTimeout(nextTimer);
    nextTimer = setTimeout(() => void ask(), waitMs);
  }

  async function ask(): Promise<void> {
    if (wanted === null || isAsking) return;
    const input = wanted;
    const key = keyOf(input);
    const mine = turn;
    isAsking = true;
    asked = { key, at: Date.now() };
    tell();
    const { repository, branch, model } = input;
    const request: ReserveSessionRequest = {
      repository,
      ...(branch === undefined ? {} : { branch }),
      ...(model === undefined ? {} : { model }),
      // One of another repository or branch is told, too: the server ends what is not wanted any more.
      ...(held === null ? {} : { reservation: held.id }),
    };
    const answer = await api.reserveSession(request).catch(() => null);
    isAsking = false;
    if (mine !== turn) giveBack(answer?.reservation);
    else {
      clearTimeout(endTimer);
      held = answer && { id: answer.reservation, key, isReady: answer.isReady };
      if (answer) endTimer = setTimeout(forget, Math.max(0, answer.expiresAt - Date.now()));
    }
    const now = wanted;
    if (now !== null && mine !== turn) later(0);
    else if (now !== null && keyOf(now) !== key) later(settleMs);
    else if (now !== null && held?.isReady === false && questions < askReadyMax) {
      questions += 1;
      later(askReadyMs);
    }
    tell();
  }

  /** Nobody will take it. Without this it would end by itself, two minutes later. */
  function giveBack(id: string | undefined): void {
    if (id !== undefined && id !== taken) void api.releaseReservation(id).catch(() => null);
  }

  function forget(): void {
    held = null;
    asked = null;
    tell();
  }

  function reset(): void {
    turn += 1;
    questions = 0;
    wanted = null;
    clearTimeout(nextTimer);
    clearTimeout(endTimer);
    forget();
  }

  return {
    touch(input) {
      const before = wanted;
      wanted = input;
      const key = keyOf(input);
      if (before !== null && keyOf(before) !== key) {
        questions = 0;
        later(settleMs);
      } else if (asked === null) void ask();
      else if (asked.key === key && Date.now() - asked.at >= renewMs) void ask();
      tell();
    },
    take() {
      const id = wanted !== null && held?.key === keyOf(wanted) ? held.id : undefined;
      if (id === undefined) giveBack(held?.id);
      else taken = id;
      reset();
      return id;
    },
    drop() {
      giveBack(held?.id);
      reset();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    state: () => shown,
  };
}
