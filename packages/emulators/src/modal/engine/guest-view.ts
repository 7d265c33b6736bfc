/**
 * What of the host a guest sees beside its own layers: the toolchain, the tools, certificates. Works out paths and base
 * environment; mounts nothing.
 */
import { existsSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError, type EngineOptions } from "./engine.ts";
import { type HostView } from "./guest-launch.ts";
import { PROXY_PORT } from "./guest-network.ts";
import { unmergedDirs } from "./host-toolchain.ts";
import { type BaseKind } from "./layer-store.ts";

export const GUEST_PATH = "/opt/tools/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const GUEST_CA_BUNDLE = "/run/host-certs/ca-certificates.crt";
const HOST_CERTS_DIR = "/etc/ssl/certs";
const HOST_BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

export interface GuestView {
  views: HostView[];
  toolLinks: { name: string; target: string }[];
  toolFiles: { name: string; source: string }[];
}

export interface HostOffer {
  node: string;
  agentFile: string;
  caBundle: string | null;
  tools: { name: string; file: string }[];
  toolDirs: { inside: string; dir: string }[];
  /** everything above, for a stage to show */
  paths: string[];
}

const realFile = (name: string, path: string): string => {
  try {
    return realpathSync(path);
  } catch {
    throw new EngineError("invalid", `The tool ${name} is not at ${path}.`);
  }
};

/** Joins the host's bundle with the files that this process was told to trust, so that guests trust the same. */
function writeCaBundle(to: string): string | null {
  const files = new Set(
    [...HOST_BUNDLES, process.env.NODE_EXTRA_CA_CERTS, process.env.SSL_CERT_FILE].map((path) =>
      path && existsSync(path) ? realpathSync(path) : "",
    ),
  );
  files.delete("");
  if (files.size === 0) return null;
  writeFileSync(
    to,
    [...files]
      .map((path) => readFileSync(path, "utf8").trimEnd())
      .join("\n")
      .concat("\n"),
    { mode: 0o644 },
  );
  return to;
}

/** Resolves every link of the options once, so that guests see files and never follow the host's links. */
export function resolveHostOffer(options: EngineOptions, agentFile: string, storeDir: string): HostOffer {
  const tools = Object.entries(options.tools).map(([name, path]) => ({ name, file: realFile(name, path) }));
  const toolDirs = Object.entries(options.toolDirs ?? {}).map(([inside, path]) => ({ inside, dir: realFile(inside, path) }));
  const node = tools.find(({ name }) => name === "node")?.file ?? realpathSync(process.execPath);
  const caBundle = writeCaBundle(join(storeDir, "ca-bundle.crt"));
  const paths = [
    node,
    agentFile,
    ...tools.map(({ file }) => file),
    ...toolDirs.map(({ dir }) => dir),
    ...(caBundle === null ? [] : [caBundle]),
  ];
  return { node, agentFile, caBundle, tools, toolDirs, paths };
}

/** @param visible where the launcher finds a path of the host */
export function guestView(base: BaseKind, offer: HostOffer, visible: (path: string) => string): GuestView {
  const views: HostView[] = [];
  const view: GuestView = { views, toolLinks: [], toolFiles: [] };
  if (offer.caBundle !== null) views.push({ source: visible(offer.caBundle), target: GUEST_CA_BUNDLE, kind: "file" });
  if (base !== "host-toolchain") return view;
  for (const path of ["/usr", ...unmergedDirs(), ...(existsSync(HOST_CERTS_DIR) ? [HOST_CERTS_DIR] : [])]) {
    views.push({ source: path, target: path, kind: "dir" });
  }
  for (const { inside, dir } of offer.toolDirs) {
    views.push({ source: visible(dir), target: inside, kind: statSync(dir).isDirectory() ? "dir" : "file" });
  }
  for (const { name, file } of offer.tools) {
    const holder = offer.toolDirs.find(({ dir }) => file.startsWith(`${dir}/`));
    // A program that finds its own files beside it needs its real place, not a copy of its file.
    if (holder !== undefined) view.toolLinks.push({ name, target: holder.inside + file.slice(holder.dir.length) });
    else if (file.startsWith("/usr/")) view.toolLinks.push({ name, target: file });
    else view.toolFiles.push({ name, source: visible(file) });
  }
  return view;
}

/** Environment of every process in a guest, beneath what its spec and each exec add. */
export function guestBaseEnv(egress: boolean, caBundle: string | null): Record<string, string> {
  const proxy = `http://127.0.0.1:${PROXY_PORT}`;
  return {
    PATH: GUEST_PATH,
    HOME: "/root",
    USER: "root",
    LANG: "C.UTF-8",
    ...(caBundle === null
      ? {}
      : {
          NODE_EXTRA_CA_CERTS: GUEST_CA_BUNDLE,
          SSL_CERT_FILE: GUEST_CA_BUNDLE,
          GIT_SSL_CAINFO: GUEST_CA_BUNDLE,
          CURL_CA_BUNDLE: GUEST_CA_BUNDLE,
          REQUESTS_CA_BUNDLE: GUEST_CA_BUNDLE,
          PIP_CERT: GUEST_CA_BUNDLE,
        }),
    ...(egress
      ? {
          HTTPS_PROXY: proxy,
          HTTP_PROXY: proxy,
          https_proxy: proxy,
          http_proxy: proxy,
          NO_PROXY: "127.0.0.1,localhost",
          no_proxy: "127.0.0.1,localhost",
          NODE_USE_ENV_PROXY: "1",
        }
      : {}),
  };
}
