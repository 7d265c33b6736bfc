/**
 * Hands git credentials to git over a unix socket that exists only while our own git runs. The secret lives in this
 * process' memory and in the pipe between helper and git; never on disk, in an environment or on a command line.
 */
import { rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type Credential, CredentialRefused } from "./bridge-socket.ts";
import { closeSocket, listenPrivately } from "./private-socket.ts";

/** Git starts this with `get`, `store` or `erase`; it carries git's question to us and our answer back. */
const helperSource = `const { connect } = require("node:net");
const socket = connect(process.argv[2]);
socket.on("error", () => process.exit(1));
socket.write(process.argv[3] + "\\n");
process.stdin.pipe(socket);
socket.pipe(process.stdout);
`;
const requestMaxBytes = 16 * 1024;

export interface CredentialServer {
  /** value of git's `credential.helper` */
  helper: string;
  /** what the control plane said when it refused, or null */
  refusal(): string | null;
  close(): Promise<void>;
}

/** Tokens last an hour; git only learns from a failure that one has ended. */
const keepMs = 20 * 60_000;

/** Remembers the last credential for a while, or until git says that the server rejected it. */
export function createCredentialCache(request: () => Promise<Credential>) {
  let cached: Promise<Credential> | null = null;
  let askedAt = 0;
  return {
    get(): Promise<Credential> {
      if (!cached || Date.now() - askedAt > keepMs) {
        const asked = request();
        cached = asked;
        askedAt = Date.now();
        asked.catch(() => {
          if (cached === asked) cached = null;
        });
      }
      return cached;
    },
    forget(): void {
      cached = null;
    },
  };
}
export type CredentialCache = ReturnType<typeof createCredentialCache>;

/** @param cloneUrl the only server that gets the credential */
export async function startCredentialServer(options: {
  stateDir: string;
  cloneUrl: string;
  cache: CredentialCache;
  /** one server at a time has each name; the others' is another */
  name?: string;
}): Promise<CredentialServer> {
  const { host, protocol } = new URL(options.cloneUrl);
  const name = options.name ?? "credential";
  const socketPath = join(options.stateDir, `${name}.sock`);
  const helperPath = join(options.stateDir, `${name}-helper.cjs`);
  const open = new Set<Socket>();
  let refusal: string | null = null;

  const answer = async (operation: string, question: Map<string, string>): Promise<string> => {
    if (`${question.get("protocol")}:` !== protocol || question.get("host") !== host) return "";
    if (operation === "erase") options.cache.forget();
    if (operation !== "get") return "";
    try {
      const { username, password } = await options.cache.get();
      return `username=${username}\npassword=${password}\n`;
    } catch (error) {
      refusal = error instanceof Error ? error.message : "no answer";
      if (!(error instanceof CredentialRefused)) refusal = `the control plane could not be asked (${refusal})`;
      // Stops git from asking further helpers or a terminal.
      return "quit=1\n";
    }
  };

  const server = createServer({ allowHalfOpen: true }, (connection) => {
    open.add(connection);
    let text = "";
    connection.setEncoding("utf8");
    connection.on("error", () => connection.destroy());
    connection.on("close", () => open.delete(connection));
    connection.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > requestMaxBytes) connection.destroy();
    });
    connection.on("end", () => {
      const [operation = "", ...lines] = text.split("\n");
      const question = new Map(lines.flatMap((line) => (line.includes("=") ? [splitOnce(line)] : [])));
      void answer(operation, question).then((reply) => connection.end(reply));
    });
  });
  await Promise.all([listenPrivately(server, socketPath), writeFile(helperPath, helperSource, { mode: 0o600 })]);
  return {
    helper: `!${[process.execPath, helperPath, socketPath].map(shellQuote).join(" ")}`,
    refusal: () => refusal,
    async close() {
      for (const connection of open) connection.destroy();
      await Promise.all([closeSocket(server, socketPath), rm(helperPath, { force: true })]);
    },
  };
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf("=");
  return [line.slice(0, at), line.slice(at + 1)];
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
