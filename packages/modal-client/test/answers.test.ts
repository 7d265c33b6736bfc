/** The pure parts between Modal's answers and the gateway's. */
import { describe, expect, test } from "vitest";
import { GatewayFault } from "../src/gateway/errors.ts";
import { toStarted, toStatus, wholeCharacters } from "../src/gateway/sandboxes.ts";

test.each([
  [null, null, { status: "running" }],
  [0, null, { status: "ended", exitCode: 0, reason: "exited" }],
  [1, null, { status: "ended", exitCode: 1, reason: "exited" }],
  [124, null, { status: "ended", exitCode: 124, reason: "timeout" }],
  [137, null, { status: "ended", exitCode: 137, reason: "terminated" }],
  [137, { status: 3, exception: "" }, { status: "ended", exitCode: 137, reason: "terminated" }],
  [137, { status: 2, exception: "" }, { status: "ended", exitCode: 137, reason: "out_of_memory" }],
  [137, { status: 3, exception: "Container was OOM killed" }, { status: "ended", exitCode: 137, reason: "out_of_memory" }],
  [137, { status: 7, exception: "idle" }, { status: "ended", exitCode: 137, reason: "terminated" }],
])("a poll that says %j, of which Modal says %j", (code, ending, status) => expect(toStatus(code, ending)).toEqual(status));

test.each([
  [0, true],
  [10, false],
])("a launcher that ends with %i has started it: %s", (code, started) => expect(toStarted(code)).toBe(started));

test.each([
  [20, "transient", "start_config_incomplete"],
  [21, "permanent", "start_tools_missing"],
  [22, "permanent", "start_runtime_missing"],
  [23, "permanent", "start_died_at_once"],
  [24, "permanent", "start_state_dir_unusable"],
  [124, "transient", "start_interrupted"],
  [137, "transient", "start_interrupted"],
  [127, "permanent", "start_failed"],
  [1, "permanent", "start_failed"],
])("a launcher that ends with %i is %s: %s", (code, kind, name) => {
  let thrown: unknown;
  try {
    toStarted(code);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(GatewayFault);
  expect(thrown).toMatchObject({ failure: { kind, code: name } });
});

describe("a piece of log ends with a whole character", () => {
  const bytes = (...values: number[]) => new Uint8Array(values);
  test.each([
    ["nothing", bytes(), 0],
    ["ASCII", bytes(0x61, 0x62), 2],
    ["a whole ü", bytes(0x61, 0xc3, 0xbc), 3],
    ["half an ü", bytes(0x61, 0xc3), 1],
    ["two thirds of a €", bytes(0x61, 0xe2, 0x82), 1],
    ["a whole €", bytes(0xe2, 0x82, 0xac), 3],
    ["three quarters of an emoji", bytes(0x61, 0xf0, 0x9f, 0x98), 1],
    ["a whole emoji", bytes(0xf0, 0x9f, 0x98, 0x80), 4],
    ["bytes that are no UTF-8", bytes(0x80, 0x80, 0x80, 0x80), 4],
  ])("%s", (_, given, length) => expect(wholeCharacters(given)).toBe(length));
});
