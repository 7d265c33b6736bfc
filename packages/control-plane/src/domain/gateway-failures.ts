/** What a refused or exhausted gateway call amounts to for a build or session. Pure: it knows no sandbox and no state. */
import { baseImageFailedCode, type Failure } from "@open-inspect/protocol";
import { createFailure } from "./failures.ts";
import { type GatewayFailure } from "./ports.ts";

export function gatewayFailure(failure: GatewayFailure, phase: "sandbox" | "connect" | "snapshot"): Failure {
  const lines = [failure.message];
  const { hint } = failure;
  switch (failure.kind) {
    case "transient":
      return createFailure("gateway_unavailable", { phase, lines });
    case "unauthorized":
      // The provider's refusal of the gateway's credentials is told in the gateway's words, not blamed on ours.
      if (failure.code.startsWith("provider_"))
        return createFailure("gateway_unavailable", { phase, lines, message: failure.message, hint });
      return createFailure("gateway_unavailable", {
        phase,
        lines,
        message: "The sandbox gateway refused the control plane's signature.",
        hint: "Set the same MODAL_API_SECRET on the Worker and on the gateway.",
      });
    case "not_found":
      if (phase === "sandbox") return createFailure("image_missing", { phase, lines });
      return createFailure(phase === "snapshot" ? "snapshot_failed" : "sandbox_lost", { phase, lines });
    case "permanent":
    case "invalid_request":
      if (phase === "snapshot") return createFailure("snapshot_failed", { phase, lines });
      if (failure.code === baseImageFailedCode)
        return createFailure("sandbox_create_failed", { phase, lines: failure.lines ?? lines, message: failure.message, hint });
      return createFailure("sandbox_create_failed", { phase, lines, hint });
  }
}

/** The provider had no capacity for a sandbox for too long. @param said the gateway's last word about it */
export const providerBusy = (waitedMs: number, said: string): Failure =>
  createFailure("gateway_unavailable", {
    phase: "sandbox",
    lines: [said],
    message: `The provider had no capacity for a sandbox for ${Math.round(waitedMs / 60_000)} minutes.`,
    hint: "Nothing is wrong with the repository. Try again later, or raise the limits of the provider's workspace.",
  });

/** Time ran out while the gateway was building the base image. @param said the gateway's last word about it */
export const baseNotReady = (said: string): Failure => createFailure("base_not_ready", { phase: "sandbox", lines: [said] });
