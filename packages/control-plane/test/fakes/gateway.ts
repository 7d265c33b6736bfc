/** A gateway in memory that keeps the protocol's promises: create by name, start once, one image per sandbox. Runs in Node. */
import {
  createSandboxRequestSchema,
  type GatewayErrorKind,
  type RuntimeConfig,
  type SandboxStatus,
  snapshotRequestSchema,
  startSandboxRequestSchema,
} from "@open-inspect/protocol";
import { type Fetch } from "./world.ts";

export interface FakeSandbox {
  sandboxId: string;
  name: string;
  tags: Record<string, string>;
  source: { kind: string; providerImageId?: string };
  timeoutMs: number;
  status: SandboxStatus;
  config: RuntimeConfig | null;
  image: string | null;
  runtimeEnded?: boolean;
}

/**
 * `times` calls to `call` fail, with `code` and `lines` if given. `after: true`: they take effect and the answer is lost.
 * `silent: true`: they are never answered.
 */
export interface GatewayFault {
  call: "create" | "start" | "status" | "snapshot" | "terminate" | "list" | "deleteImage" | "logs" | "all";
  kind: GatewayErrorKind;
  times: number;
  after?: boolean;
  silent?: boolean;
  code?: string;
  lines?: string[];
}
export type GatewayOrder =
  | { do: "state" }
  | { do: "fault"; fault: GatewayFault }
  | { do: "heal" }
  | { do: "kill"; sandboxId: string; status: SandboxStatus }
  | { do: "log"; text: string }
  /** its runtime ends, the sandbox stays */
  | { do: "end-runtime"; sandboxId: string }
  | { do: "forget-image"; providerImageId: string };

export interface GatewayState {
  sandboxes: FakeSandbox[];
  images: string[];
  deletedImages: string[];
  calls: string[];
}

export function createFakeGateway(): Fetch {
  const sandboxes = new Map<string, FakeSandbox>();
  const images = new Set<string>();
  const deletedImages: string[] = [];
  const calls: string[] = [];
  let faults: GatewayFault[] = [];
  let log = "";
  let serial = 0;

  const refuse = (status: number, kind: GatewayErrorKind, code: string, lines?: string[]) =>
    Response.json({ error: { kind, code, message: `fake ${code}`, hint: "none", lines } }, { status });
  const statusOf: Record<GatewayErrorKind, number> = {
    transient: 503,
    permanent: 422,
    not_found: 404,
    unauthorized: 401,
    invalid_request: 400,
  };

  async function control(request: Request): Promise<Response> {
    const order = (await request.json()) as GatewayOrder;
    switch (order.do) {
      case "state":
        return Response.json({
          sandboxes: [...sandboxes.values()],
          images: [...images],
          deletedImages,
          calls,
        } satisfies GatewayState);
      case "fault":
        faults.push({ ...order.fault });
        break;
      case "heal":
        faults = [];
        break;
      case "log":
        log = order.text;
        break;
      case "forget-image":
        images.delete(order.providerImageId);
        break;
      case "end-runtime": {
        const sandbox = sandboxes.get(order.sandboxId);
        if (sandbox) sandbox.runtimeEnded = true;
        break;
      }
      case "kill": {
        const sandbox = sandboxes.get(order.sandboxId);
        if (sandbox) sandbox.status = order.status;
      }
    }
    return Response.json({});
  }

  async function answer(call: GatewayFault["call"], request: Request, parts: string[], url: URL): Promise<Response> {
    const [, , , key = ""] = parts;
    const sandbox = sandboxes.get(key);
    switch (call) {
      case "create": {
        const body = createSandboxRequestSchema.parse(await request.json());
        const running = [...sandboxes.values()].find((one) => one.name === key && one.status.status === "running");
        if (running) return Response.json({ sandboxId: running.sandboxId, created: false, durationMs: 1 });
        if (body.source.kind === "image" && !images.has(body.source.providerImageId))
          return refuse(404, "not_found", "image_not_found");
        const sandboxId = `sb-${++serial}`;
        const { tags, source, timeoutMs } = body;
        sandboxes.set(sandboxId, {
          sandboxId,
          name: key,
          tags,
          source,
          timeoutMs,
          status: { status: "running" },
          config: null,
          image: null,
        });
        return Response.json({ sandboxId, created: true, durationMs: 1 });
      }
      case "list": {
        const wanted = [...url.searchParams].map(([name, value]) => [name.replace(/^tag\./, ""), value] as const);
        const found = [...sandboxes.values()].filter(
          (one) => one.status.status === "running" && wanted.every(([name, value]) => one.tags[name] === value),
        );
        return Response.json({ sandboxes: found.map(({ sandboxId, tags }) => ({ sandboxId, tags })) });
      }
      case "deleteImage":
        images.delete(key);
        deletedImages.push(key);
        return Response.json({});
      case "status": {
        const status = sandbox?.status ?? { status: "ended", exitCode: null, reason: "unknown" };
        if (status.status === "ended" || url.searchParams.get("runtime") !== "1") return Response.json(status);
        return Response.json({ ...status, runtime: sandbox?.runtimeEnded ? "gone" : "running" });
      }
      case "logs":
        return Response.json({ text: log, nextOffset: log.length });
      case "terminate":
        if (sandbox?.status.status === "running") sandbox.status = { status: "ended", exitCode: null, reason: "terminated" };
        return Response.json({});
      case "start": {
        if (sandbox?.status.status !== "running") return refuse(404, "not_found", "sandbox_not_found");
        const { config } = startSandboxRequestSchema.parse(await request.json());
        const started = sandbox.config === null;
        sandbox.config ??= config;
        return Response.json({ started, durationMs: 1 });
      }
      case "snapshot": {
        if (sandbox?.status.status !== "running") return refuse(404, "not_found", "sandbox_not_found");
        snapshotRequestSchema.parse(await request.json());
        sandbox.image ??= `im-${++serial}`;
        images.add(sandbox.image);
        return Response.json({ providerImageId: sandbox.image, durationMs: 5 });
      }
      case "all":
        return refuse(404, "not_found", "no_such_path");
    }
  }

  function callOf(method: string, parts: string[]): GatewayFault["call"] {
    const [, , kind, id, action] = parts;
    if (kind === "images") return "deleteImage";
    if (kind !== "sandboxes") return "all";
    if (id === undefined) return "list";
    if (method === "PUT") return "create";
    if (action === "start" || action === "snapshot" || action === "terminate" || action === "logs") return action;
    return "status";
  }

  return async (request) => {
    const url = new URL(request.url);
    if (url.pathname === "/__control") return control(request);
    const parts = url.pathname.split("/");
    if (parts[2] === "health") {
      const base = { name: "fake", ready: true, providerImageId: null };
      return Response.json({ status: "ok", runtimeVersion: "runtime-1", base, sdkVersion: "0" });
    }
    const call = callOf(request.method, parts);
    calls.push(call);
    const fault = faults.find((one) => one.times > 0 && (one.call === call || one.call === "all"));
    if (!fault) return answer(call, request, parts, url);
    fault.times -= 1;
    if (fault.silent) return new Promise(() => {});
    if (fault.after) await answer(call, request, parts, url);
    return refuse(statusOf[fault.kind], fault.kind, fault.code ?? "fault", fault.lines);
  };
}
