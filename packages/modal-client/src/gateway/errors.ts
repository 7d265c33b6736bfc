/**
 * Every way in which Modal can fail, sorted once into what the control plane acts on. Pure. Knows the SDK's and gRPC's error
 * names, nothing of HTTP or of what was being done beyond its subject.
 */
import { stripVTControlCharacters } from "node:util";
import {
  baseImageFailedCode,
  failureLinesMax,
  type GatewayErrorBody,
  type GatewayErrorKind,
  providerBusyCode,
} from "@open-inspect/protocol";

const longestLine = 1_000;

export type GatewayFailure = GatewayErrorBody["error"];
/** What the failed call was about: decides what "not found" means. */
export type FailureSubject = "sandbox" | "image" | "provider";

/** A failure that already has its final words. */
export class GatewayFault extends Error {
  readonly failure: GatewayFailure;
  constructor(kind: GatewayErrorKind, code: string, message: string, hint: string, lines?: string[]) {
    super(message);
    this.name = "GatewayFault";
    this.failure = { kind, code, message, hint, ...(lines === undefined ? {} : { lines }) };
  }
}

type Sorted = readonly [kind: GatewayErrorKind, code: string, message: string, hint: string];

const repeat = "Repeat the call.";
const startAgain = "Create a new sandbox.";
const sandboxEnded = ["not_found", "sandbox_ended", "The sandbox has ended.", startAgain] as const;
const busy = [
  "transient",
  providerBusyCode,
  "Modal has no capacity for this at the moment.",
  "Repeat later, or raise the limits of the workspace.",
] as const;
const timedOut = ["transient", "provider_timeout", "Modal did not answer in time.", repeat] as const;
const unavailable = [
  "transient",
  "provider_unavailable",
  "Modal cannot be reached.",
  "Repeat the call; check MODAL_SERVER_URL.",
] as const;
const internal = ["transient", "provider_error", "Modal failed internally.", repeat] as const;
const rejected = [
  "permanent",
  "provider_rejected",
  "Modal refused the request.",
  "Check the requested resources and the gateway's version.",
] as const;
const credentials = [
  "unauthorized",
  "provider_unauthorized",
  "Modal does not accept the gateway's credentials.",
  "Check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET of the gateway.",
] as const;
const lost = ["permanent", "provider_data_loss", "Modal lost the data.", "Build anew."] as const;
const unsupported = [
  "permanent",
  "provider_unsupported",
  "Modal does not offer this call any more.",
  "Update the modal package of the gateway.",
] as const;
const stopping = ["transient", "gateway_stopping", "The gateway is stopping.", repeat] as const;
const unexpected = [
  "permanent",
  "gateway_unexpected",
  "The gateway met an error that it does not know.",
  "Look at the gateway's log by the request id.",
] as const;

const missing: Record<FailureSubject, Sorted> = {
  sandbox: ["not_found", "sandbox_missing", "Modal does not know this sandbox.", startAgain],
  image: ["not_found", "image_missing", "Modal does not know this image any more.", "Start from the base and build a new image."],
  provider: [
    "not_found",
    "provider_missing",
    "Modal does not know what was asked for.",
    "Check MODAL_APP_NAME and MODAL_ENVIRONMENT.",
  ],
};

/** Status codes of gRPC, by number: nice-grpc's error class is not exported by the SDK. */
function sortGrpc(code: number, details: string, subject: FailureSubject): Sorted {
  if (/could not find image/i.test(details)) return missing.image;
  switch (code) {
    case 1: // CANCELLED
    case 4: // DEADLINE_EXCEEDED
      return timedOut;
    case 2: // UNKNOWN
    case 10: // ABORTED
    case 13: // INTERNAL
      return internal;
    case 5: // NOT_FOUND
      return missing[subject];
    case 7: // PERMISSION_DENIED
    case 16: // UNAUTHENTICATED
      return credentials;
    case 8: // RESOURCE_EXHAUSTED
      return busy;
    case 9: // FAILED_PRECONDITION
      return subject === "sandbox" ? sandboxEnded : rejected;
    case 12: // UNIMPLEMENTED
      return unsupported;
    case 14: // UNAVAILABLE
      return unavailable;
    case 15: // DATA_LOSS
      return lost;
    default: // INVALID_ARGUMENT, ALREADY_EXISTS, OUT_OF_RANGE
      return rejected;
  }
}

function sortNamed(name: string, subject: FailureSubject): Sorted | null {
  switch (name) {
    case "NotFoundError":
      return missing[subject];
    case "ConflictError":
    case "SandboxTimeoutError":
      return sandboxEnded;
    case "ResourceExhaustedError":
      return busy;
    case "TimeoutError":
    case "AbortError":
    case "RetryDeadlineExceededError":
      return timedOut;
    case "InternalFailure":
    case "RemoteError":
      return internal;
    case "ClientClosedError":
      return stopping;
    case "AlreadyExistsError":
    case "InvalidError":
    case "ExecutionError":
      return rejected;
    case "SnapshotCreationError":
      return ["permanent", "snapshot_failed", "Modal could not make the snapshot.", "Build anew."];
    default:
      return null;
  }
}

function sortPlain(message: string): Sorted {
  if (/^Image build for .* (terminated due to external shut-down|timed out)/.test(message))
    return ["transient", "base_image_interrupted", "The build of the base image was interrupted.", "Repeat later."];
  if (message.startsWith("Image build for "))
    return [
      "permanent",
      baseImageFailedCode,
      "The base image cannot be built.",
      "Look at the gateway's log; check GATEWAY_BASE.",
    ];
  if (/token/i.test(message) && /missing|not (set|found|provided)/i.test(message)) return credentials;
  if (message.startsWith("Deadline exceeded")) return timedOut;
  if (message.startsWith("Command router access is not available")) return unavailable;
  if (message.startsWith("Task router URL")) return rejected;
  return unexpected;
}

/** Sorts any thrown value. The message is Modal's own where it has one, made safe to print. */
export function classifyFailure(error: unknown, subject: FailureSubject): GatewayFailure {
  if (error instanceof GatewayFault) return error.failure;
  if (!(error instanceof Error)) return toFailure(unexpected, "");
  const code = "code" in error ? error.code : undefined;
  const details = "details" in error && typeof error.details === "string" ? error.details : error.message;
  if (error.name === "ClientError" && typeof code === "number") return toFailure(sortGrpc(code, details, subject), details);
  return toFailure(sortNamed(error.name, subject) ?? sortPlain(error.message), details);
}

/** True when Modal certainly did not do what was asked: it answered, and the answer was no. */
export function isDefiniteRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || error.name !== "ClientError" || !("code" in error)) return false;
  // INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED, UNAUTHENTICATED
  return [3, 5, 7, 8, 9, 12, 16].includes(Number(error.code));
}

function toFailure([kind, code, message, hint]: Sorted, details: string): GatewayFailure {
  // What was never foreseen is only shown in the gateway's own log: nobody has judged whether it is safe to pass on.
  if (code === "gateway_unexpected") return { kind, code, message, hint };
  // The end of a long message is kept: a failed build says there what went wrong.
  const said = details.replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
  const shown = said.length > 500 ? `…${said.slice(-499)}` : said;
  const sorted = { kind, code, message: shown === "" ? message : `${message} Modal said: ${shown}`, hint };
  return code === baseImageFailedCode ? { ...sorted, lines: outputLines(details) } : sorted;
}

/** The end of what a build printed, without colours, control characters and empty lines. */
function outputLines(text: string): string[] {
  const plain = stripVTControlCharacters(text).split(/[\r\n]+/);
  const lines = plain.map((line) =>
    line
      .replace(/[\u0000-\u001f\u007f]+/g, " ")
      .trimEnd()
      .slice(-longestLine),
  );
  return lines.filter((line) => line !== "").slice(-failureLinesMax);
}
