/** How a system's ports are chosen beside others. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { choosePorts, type Ports } from "../ports.ts";

let folder: string;
let chosen: Ports[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ports-"));
  chosen = [];
});
afterEach(async () => {
  await Promise.all(chosen.map((one) => one.release()));
  rmSync(folder, { recursive: true });
});

async function choose(name: string, preferred = 0) {
  const ports = await choosePorts(join(folder, name), 6, preferred);
  chosen.push(ports);
  return ports;
}

async function listening(port: number) {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { close: () => new Promise((closed) => server.close(closed)) };
}

it("systems that start at once share no port, though none listens yet", async () => {
  const all = (await Promise.all(Array.from({ length: 40 }, (_, index) => choose(`${index}`)))).flatMap(({ ports }) => ports);
  expect(new Set(all).size).toBe(240);
  for (const port of all) expect(port > 15_000 && port < 30_000, `${port}`).toBe(true);
});

it("ports of a system that has not started all its parts are not given out again, those of one that ended are", async () => {
  const first = await choose("one");
  // Another system with the same memory.
  const second = await choose("one");
  expect(second.ports.filter((port) => first.ports.includes(port))).toEqual([]);
  await second.release();
  expect((await choose("one")).ports).toEqual(second.ports);
});

it("a remembered port that is taken moves the system to others", async () => {
  const { ports, release } = await choose("one");
  await release();
  const other = await listening(ports[3] ?? 0);
  const again = await choose("one");
  expect(again.ports).toHaveLength(6);
  expect(again.ports).not.toContain(ports[3]);
  await other.close();
});

it("the preferred port is had or refused by its name; one of the next that is taken is another", async () => {
  const [preferred = 0] = (await choose("free")).ports;
  const own = await choose("own", preferred);
  expect(own.ports).toEqual(Array.from({ length: 6 }, (_, index) => preferred + index));
  const taken = await listening(preferred + 2);
  const { ports } = await choose("own", preferred);
  expect(ports.slice(0, 2)).toEqual([preferred, preferred + 1]);
  expect(new Set([...ports, preferred + 2]).size).toBe(7);
  await taken.close();
  const held = await listening(preferred);
  await expect(choose("own", preferred)).rejects.toThrow(`Port ${preferred} is in use.`);
  await held.close();
});
