/** Chooses the ports of a system, so that neither another system nor a connection takes one of them before its part listens. */
import { randomInt } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";

/** Below the ports that the operating system gives to connections: one of those could be taken again before the part listens. */
const range = { first: 15_000, blocks: 1_875 };
/** The first port of a block is its guard: whoever listens on it may use the others. */
const blockSize = 8;

export interface Ports {
  ports: number[];
  /** Lets others use what was guarded. */
  release(): Promise<void>;
}

interface Block {
  guard: Server;
  held: Server[];
}

/**
 * As many ports as parts ask for: those of the last time when they are free, else `preferred` and the next ones, else any.
 * @param file where they are remembered
 * @param count at most 7
 * @param preferred 0 = any
 */
export async function choosePorts(file: string, count: number, preferred: number): Promise<Ports> {
  const remembered = read(file, count);
  let block: Block | null = null;
  // All are held until the last is chosen: none is given out twice.
  let held: (Server | null)[];
  if (preferred === 0) {
    const [first] = remembered ?? [];
    block = (first === undefined ? null : await takeBlock(first - 1, count)) ?? (await anyBlock(count));
    held = block.held;
  } else {
    const wanted = Array.from({ length: count }, (_, index) => preferred + index);
    held = await listenAll(remembered?.[0] === preferred ? remembered : wanted);
    if (held[0] === null) {
      await closeAll(held);
      throw new Error(`Port ${preferred} is in use. Stop what listens there, or choose another: npm start -- --port 8800`);
    }
    if (held.includes(null)) {
      block = await anyBlock(count);
      const spare = block.held;
      held = held.map((server) => server ?? spare.pop() ?? null);
      await closeAll(spare);
    }
  }
  const ports = held.map(portOf);
  await closeAll(held);
  writeFileSync(file, JSON.stringify(ports));
  return { ports, release: () => closeAll([block?.guard ?? null]) };
}

function read(file: string, count: number): number[] | null {
  try {
    const ports: number[] = JSON.parse(readFileSync(file, "utf8"));
    return ports.length === count ? ports : null;
  } catch {
    // The first start in this folder.
    return null;
  }
}

async function anyBlock(count: number): Promise<Block> {
  for (let tries = 0; tries < 100; tries++) {
    const block = await takeBlock(range.first + randomInt(range.blocks) * blockSize, count);
    if (block !== null) return block;
  }
  throw new Error(`No ${count} free ports between ${range.first} and ${range.first + range.blocks * blockSize} were found.`);
}

/** The block, its guard and its ports held; null when one of them is in use. */
async function takeBlock(first: number, count: number): Promise<Block | null> {
  const guard = await listen(first);
  if (guard === null) return null;
  const held = await listenAll(Array.from({ length: count }, (_, index) => first + 1 + index));
  const servers = held.filter((server) => server !== null);
  if (servers.length === count) return { guard, held: servers };
  await closeAll([guard, ...held]);
  return null;
}

const portOf = (server: Server | null) => {
  const address = server?.address();
  return typeof address === "object" && address !== null ? address.port : 0;
};

const listenAll = (ports: readonly number[]) => Promise.all(ports.map(listen));

/** Holds a port; null when somebody else does. */
function listen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

const closeAll = async (servers: readonly (Server | null)[]) => {
  const open = servers.filter((server) => server !== null);
  await Promise.all(open.map((server) => new Promise((closed) => server.close(closed))));
};
