/** Seeded randomness for fuzz tests: the same seed gives the same run. */
export interface Random {
  next(): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T | undefined;
  hex(length: number): string;
}

const hexDigits = "0123456789abcdef";

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    next,
    chance: (probability) => next() < probability,
    pick: (items) => items[Math.floor(next() * items.length)],
    hex(length) {
      let digits = "";
      for (let count = 0; count < length; count++) digits += hexDigits.charAt(next() * 16);
      return digits;
    },
  };
}
