/** What models cost, for the agent's own account of each answer. Pure data: list prices, no discounts. */

/** US dollars for a million tokens. */
export interface ModelPrice {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
}

const price = (input: number, output: number): ModelPrice => ({
  input,
  output,
  // The provider's fixed shares of the price of input.
  cacheRead: input * 0.1,
  cacheWrite: input * 1.25,
});

/** The first that a model's id begins with decides. */
const prices: readonly [prefix: string, price: ModelPrice][] = [
  ["claude-opus-4-5", price(5, 25)],
  ["claude-opus-4", price(15, 75)],
  ["claude-sonnet-4", price(3, 15)],
  ["claude-haiku-4-5", price(1, 5)],
  ["claude-3-5-haiku", price(0.8, 4)],
];

/** null for a model that is not listed: its answers cost nothing as far as is known. */
export function priceOf(model: string): ModelPrice | null {
  return prices.find(([prefix]) => model.startsWith(prefix))?.[1] ?? null;
}
