/** The gateway's settings, read once from the environment. Knows the names of the variables, nothing of what they do. */
import { z } from "zod";

/** `debian`: the whole definition. `debian-packages`: its apt and npm lines. `registry`: an image that has everything. */
export type GatewayBase = { kind: "debian" } | { kind: "debian-packages" } | { kind: "registry"; tag: string };

const registryPrefix = "registry:";
const baseSchema = z
  .string()
  .refine((value) => value === "debian" || value === "debian-packages" || /^registry:[^\s]+$/.test(value), {
    error: "must be debian, debian-packages or registry:<tag>",
  })
  .transform((value): GatewayBase => {
    if (value.startsWith(registryPrefix)) return { kind: "registry", tag: value.slice(registryPrefix.length) };
    return value === "debian" ? { kind: "debian" } : { kind: "debian-packages" };
  });

const hostPattern = /^(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?$/;
const hostsSchema = z
  .string()
  .transform((list) =>
    list
      .split(",")
      .map((host) => host.trim().toLowerCase())
      .filter((host) => host !== ""),
  )
  .pipe(z.array(z.string().regex(hostPattern, { error: "must be host or host:port, separated by commas" })).min(1));

const environmentSchema = z.object({
  GATEWAY_HOST: z.string().min(1).default("127.0.0.1"),
  GATEWAY_PORT: z.coerce.number().int().min(0).max(65_535).default(8787),
  GATEWAY_BASE: baseSchema.prefault("debian"),
  MODAL_API_SECRET: z.string().min(16, { error: "must have at least 16 characters" }),
  MODAL_APP_NAME: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/)
    .default("open-inspect"),
  ALLOWED_CONTROL_PLANE_HOSTS: hostsSchema,
});

export interface GatewayConfig {
  host: string;
  /** 0 takes any free port */
  port: number;
  base: GatewayBase;
  secret: string;
  appName: string;
  /** `host` or `host:port`, lower case; a host alone means the default port of the URL's scheme */
  allowedHosts: string[];
}

/** @throws Error that names each bad variable, never its value. */
export function readGatewayConfig(environment: Record<string, string | undefined>): GatewayConfig {
  const parsed = environmentSchema.safeParse(environment);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(
      (issue) => `${issue.path[0] === undefined ? "" : String(issue.path[0])}: ${issue.message}`,
    );
    throw new Error(`The gateway's environment is not complete. ${faults.join("; ")}`);
  }
  return {
    host: parsed.data.GATEWAY_HOST,
    port: parsed.data.GATEWAY_PORT,
    base: parsed.data.GATEWAY_BASE,
    secret: parsed.data.MODAL_API_SECRET,
    appName: parsed.data.MODAL_APP_NAME,
    allowedHosts: parsed.data.ALLOWED_CONTROL_PLANE_HOSTS,
  };
}

/** The name of a base as it is configured and shown. */
export const baseName = (base: GatewayBase): string => (base.kind === "registry" ? `${registryPrefix}${base.tag}` : base.kind);
