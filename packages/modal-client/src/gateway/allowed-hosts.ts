/** Which hosts a sandbox may be told to report to. Pure: a sandbox's tokens must never go to a host that nobody named. */
import { type RuntimeConfig } from "@open-inspect/protocol";
import { GatewayFault } from "./errors.ts";

/** @throws GatewayFault of kind invalid_request that names the host, when one of the config's hosts is not in the list */
export function assertAllowedHosts(config: RuntimeConfig, allowedHosts: readonly string[]): void {
  assertAllowed("bridgeUrl", config.bridgeUrl, ["ws:", "wss:"], allowedHosts);
  if (config.mode === "session")
    assertAllowed("agent.modelBaseUrl", config.agent.modelBaseUrl, ["http:", "https:"], allowedHosts);
}

function assertAllowed(field: string, url: string, schemes: readonly string[], allowedHosts: readonly string[]): void {
  const parsed = new URL(url);
  if (!schemes.includes(parsed.protocol) || parsed.username !== "" || parsed.password !== "")
    throw new GatewayFault(
      "invalid_request",
      "bad_control_plane_url",
      `${field} must be a plain ${schemes.map((scheme) => scheme.slice(0, -1)).join(" or ")} URL without credentials.`,
      "Check CONTROL_PLANE_URL of the control plane.",
    );
  // URL.host leaves out the scheme's default port, so a bare host in the list means just that port.
  if (!allowedHosts.includes(parsed.host))
    throw new GatewayFault(
      "invalid_request",
      "host_not_allowed",
      `${field} points at ${parsed.host}, which the gateway does not allow.`,
      "Add the host to ALLOWED_CONTROL_PLANE_HOSTS of the gateway, or correct CONTROL_PLANE_URL.",
    );
}
