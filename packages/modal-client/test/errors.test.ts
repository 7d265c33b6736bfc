/** Every failure of Modal is sorted once: what may be repeated, what is gone, what is for the operator. */
import {
  AlreadyExistsError,
  ClientClosedError,
  ConflictError,
  ExecutionError,
  InternalFailure,
  InvalidError,
  NotFoundError,
  ResourceExhaustedError,
  SandboxTimeoutError,
  SnapshotCreationError,
  TimeoutError,
} from "modal";
import { describe, expect, test } from "vitest";
import { DeadlineError } from "../src/gateway/deadlines.ts";
import { classifyFailure, type FailureSubject, GatewayFault, isDefiniteRefusal } from "../src/gateway/errors.ts";

/** The shape of nice-grpc's error, which the SDK throws but does not export. */
const grpc = (code: number, details = "said so") =>
  Object.assign(new Error(`/modal.client.ModalClient/X: ${details}`), { name: "ClientError", code, details });

const table: [string, unknown, FailureSubject, kind: string, code: string][] = [
  ["CANCELLED", grpc(1), "sandbox", "transient", "provider_timeout"],
  ["UNKNOWN", grpc(2), "sandbox", "transient", "provider_error"],
  ["INVALID_ARGUMENT", grpc(3), "sandbox", "permanent", "provider_rejected"],
  ["DEADLINE_EXCEEDED", grpc(4), "sandbox", "transient", "provider_timeout"],
  ["NOT_FOUND of a sandbox", grpc(5), "sandbox", "not_found", "sandbox_missing"],
  ["NOT_FOUND of an image", grpc(5), "image", "not_found", "image_missing"],
  ["NOT_FOUND of the app", grpc(5), "provider", "not_found", "provider_missing"],
  ["ALREADY_EXISTS", grpc(6), "sandbox", "permanent", "provider_rejected"],
  ["PERMISSION_DENIED", grpc(7), "sandbox", "unauthorized", "provider_unauthorized"],
  ["RESOURCE_EXHAUSTED", grpc(8), "sandbox", "transient", "provider_busy"],
  ["FAILED_PRECONDITION of a sandbox", grpc(9), "sandbox", "not_found", "sandbox_ended"],
  ["FAILED_PRECONDITION of an image", grpc(9), "image", "permanent", "provider_rejected"],
  [
    "FAILED_PRECONDITION that names a lost image",
    grpc(9, "Could not find image with ID im-1"),
    "sandbox",
    "not_found",
    "image_missing",
  ],
  ["ABORTED", grpc(10), "sandbox", "transient", "provider_error"],
  ["OUT_OF_RANGE", grpc(11), "sandbox", "permanent", "provider_rejected"],
  ["UNIMPLEMENTED", grpc(12), "sandbox", "permanent", "provider_unsupported"],
  ["INTERNAL", grpc(13), "sandbox", "transient", "provider_error"],
  ["UNAVAILABLE", grpc(14), "sandbox", "transient", "provider_unavailable"],
  ["DATA_LOSS", grpc(15), "sandbox", "permanent", "provider_data_loss"],
  ["UNAUTHENTICATED", grpc(16), "sandbox", "unauthorized", "provider_unauthorized"],
  ["NotFoundError of an image", new NotFoundError("no"), "image", "not_found", "image_missing"],
  ["NotFoundError of a sandbox", new NotFoundError("no"), "sandbox", "not_found", "sandbox_missing"],
  ["AlreadyExistsError", new AlreadyExistsError("there"), "sandbox", "permanent", "provider_rejected"],
  ["ConflictError", new ConflictError("finished"), "sandbox", "not_found", "sandbox_ended"],
  ["SandboxTimeoutError", new SandboxTimeoutError("over"), "sandbox", "not_found", "sandbox_ended"],
  ["ResourceExhaustedError", new ResourceExhaustedError("full"), "sandbox", "transient", "provider_busy"],
  ["InvalidError", new InvalidError("bad"), "sandbox", "permanent", "provider_rejected"],
  ["ExecutionError", new ExecutionError("bad"), "sandbox", "permanent", "provider_rejected"],
  ["InternalFailure", new InternalFailure("oops"), "sandbox", "transient", "provider_error"],
  ["ClientClosedError", new ClientClosedError(), "sandbox", "transient", "gateway_stopping"],
  ["the SDK's TimeoutError", new TimeoutError("late"), "sandbox", "transient", "provider_timeout"],
  ["SnapshotCreationError", new SnapshotCreationError("no"), "sandbox", "permanent", "snapshot_failed"],
  ["a deadline of the gateway", new DeadlineError("a call", 5), "sandbox", "transient", "provider_timeout"],
  ["AbortSignal.timeout", new DOMException("late", "TimeoutError"), "sandbox", "transient", "provider_timeout"],
  ["an aborted call", new DOMException("stop", "AbortError"), "sandbox", "transient", "provider_timeout"],
  [
    "a failed image build",
    new Error("Image build for im-1 failed with the exception:\nE: no such package"),
    "provider",
    "permanent",
    "base_image_failed",
  ],
  [
    "an interrupted image build",
    new Error("Image build for im-1 terminated due to external shut-down. Please try again."),
    "provider",
    "transient",
    "base_image_interrupted",
  ],
  [
    "a slow image build",
    new Error("Image build for im-1 timed out. Please try again with a larger timeout parameter."),
    "provider",
    "transient",
    "base_image_interrupted",
  ],
  [
    "an exec that met its limit",
    new Error("Deadline exceeded while waiting for exec x"),
    "sandbox",
    "transient",
    "provider_timeout",
  ],
  ["what nobody foresaw", new TypeError("x is not a function"), "sandbox", "permanent", "gateway_unexpected"],
  ["what is not an error", "boom", "sandbox", "permanent", "gateway_unexpected"],
];

test.each(table)("%s", (_, error, subject, kind, code) => {
  expect(classifyFailure(error, subject)).toMatchObject({ kind, code });
});

test("a fault keeps its own words", () => {
  const fault = new GatewayFault("invalid_request", "c", "m", "h");
  expect(classifyFailure(fault, "image")).toEqual({ kind: "invalid_request", code: "c", message: "m", hint: "h" });
});

test("Modal's own words are passed on in one line, and of many the last", () => {
  const { message } = classifyFailure(grpc(3, `${"x".repeat(5_000)}\n\u001b[31mthe end`), "sandbox");
  expect(message.length).toBeLessThan(600);
  expect(message).toMatch(/the end$/);
  expect(message).not.toMatch(/[\u0000-\u001f]/);
});

test("an unforeseen error is not passed on", () => {
  expect(classifyFailure(new TypeError("secret inside"), "sandbox").message).not.toContain("secret inside");
});

describe("a definite refusal", () => {
  test.each([3, 5, 7, 8, 9, 12, 16])("code %i says that nothing was done", (code) =>
    expect(isDefiniteRefusal(grpc(code))).toBe(true),
  );
  test.each([1, 2, 4, 6, 10, 13, 14, 15])("code %i says nothing of the kind", (code) =>
    expect(isDefiniteRefusal(grpc(code))).toBe(false),
  );
  test("nor does a timeout", () => expect(isDefiniteRefusal(new TimeoutError("late"))).toBe(false));
});

test("a failed image build hands on the end of its output as plain lines", () => {
  const output = [...Array.from({ length: 50 }, (_, index) => `line ${index}`), "\u001b[31mE: no such package\u001b[0m", ""].join(
    "\r\n",
  );
  const { lines, message } = classifyFailure(new Error(`Image build for im-1 failed with the exception:\n${output}`), "provider");
  expect(lines).toHaveLength(40);
  expect(lines?.slice(-2)).toEqual(["line 49", "E: no such package"]);
  expect(message).toContain("The base image cannot be built.");
  expect(classifyFailure(new TimeoutError("late"), "sandbox").lines).toBeUndefined();
});
