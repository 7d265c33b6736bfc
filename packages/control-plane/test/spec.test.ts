/** SPEC.md and the tests speak of the same rules. */
import { expect, it } from "vitest";
import spec from "../SPEC.md?raw";

// Vitest keeps transformed modules between runs, but none with exactly `import.meta.glob(` in it: a type argument there would freeze the list.
const tests: Record<string, string> = import.meta.glob("./**/*.test.ts", { query: "?raw", import: "default", eager: true });

it("every rule of SPEC.md is named by a test, and every named rule exists", () => {
  const rules = new Set([...spec.matchAll(/^- \*\*([A-Z]{2}\d+)\*\*/gm)].map(([, rule]) => rule));
  const named = new Set(
    Object.values(tests)
      .flatMap((source) => [...source.matchAll(/it\(\s*["'`]((?:\[[A-Z]{2}\d+\] )+)/g)])
      .flatMap(([, marks = ""]) => [...marks.matchAll(/[A-Z]{2}\d+/g)].map(([rule]) => rule)),
  );
  expect(rules.size).toBeGreaterThan(50);
  expect(
    [...rules].filter((rule) => rule && !named.has(rule)),
    "rules without a test",
  ).toEqual([]);
  expect(
    [...named].filter((rule) => !rules.has(rule)),
    "tests of rules that are not there",
  ).toEqual([]);
});
