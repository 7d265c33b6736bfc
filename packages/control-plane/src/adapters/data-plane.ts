/** The data plane's port over the signed gateway client. Knows no schedule of retries: one call is one try. */
import { createGatewayClient } from "@open-inspect/modal-client/client";
import { type DataPlane } from "../domain/ports.ts";

export function createDataPlane(options: { gatewayUrl: string; secret: string }): DataPlane {
  const client = createGatewayClient({ baseUrl: options.gatewayUrl, secret: options.secret });
  return {
    createSandbox: (name, request) => client.create(name, request),
    startSandbox: (sandboxId, config) => client.start(sandboxId, { config }),
    sandboxStatus: (sandboxId, withRuntime) => client.status(sandboxId, { runtime: withRuntime }),
    sandboxLogs: (sandboxId, offset) => client.logs(sandboxId, offset),
    snapshotSandbox: (sandboxId, request) => client.snapshot(sandboxId, request),
    terminateSandbox: (sandboxId) => client.terminate(sandboxId),
    listSandboxes: (tags) => client.list(tags),
    deleteImage: (providerImageId) => client.deleteImage(providerImageId),
    health: () => client.health(),
  };
}
