import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { until } from "../api.ts";
import { probePath, watchWorker } from "../worker-watch.ts";

let server: Server;
let url: string;
let mode: "answer" | "fail" | "silent";
const asked: string[] = [];
const stops: (() => void)[] = [];

beforeEach(async () => {
  mode = "answer";
  asked.length = 0;
  server = createServer((incoming, answer) => {
    asked.push(incoming.url ?? "");
    if (mode !== "silent") answer.writeHead(mode === "fail" ? 500 : 404).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const never = () => false;
function watch(migrationsPending: () => boolean, restart: () => Promise<void>, sourcesChanged = never) {
  const log: string[] = [];
  const written = (line: string) => log.push(line);
  stops.push(watchWorker({ url, migrationsPending, sourcesChanged, restart, log: written, everyMs: 10, silentMaxMs: 1_000 }));
  return log;
}
const looks = (count: number) => until(`${count} looks`, 20_000, async () => (asked.length >= count ? true : null));

it("leaves a Worker alone that answers, whatever it answers", async () => {
  let restarts = 0;
  watch(never, async () => void restarts++);
  await looks(5);
  mode = "fail";
  await looks(asked.length + 10);
  expect(restarts).toBe(0);
  expect(new Set(asked)).toEqual(new Set([probePath]));
});

it("starts a Worker again that stays silent, once, and goes on watching", async () => {
  let restarts = 0;
  const log = watch(never, async () => {
    restarts++;
    mode = "answer";
  });
  for (const round of [1, 2]) {
    await looks(asked.length + 2);
    mode = "silent";
    await until("the restart", 20_000, async () => (restarts === round ? true : null));
  }
  await looks(asked.length + 5);
  expect(restarts).toBe(2);
  expect(log).toEqual(Array(2).fill("the Worker does not answer; starting the Worker again"));
});

it("starts the Worker again when there is a migration that its database lacks, also after an attempt that failed", async () => {
  let tries = 0;
  let pending = false;
  const log = watch(
    () => pending,
    async () => {
      tries++;
      if (tries === 1) throw new Error("the database migrations failed");
      pending = false;
    },
  );
  await looks(2);
  expect(tries).toBe(0);
  pending = true;
  await until("the second try", 20_000, async () => (tries === 2 ? true : null));
  await looks(asked.length + 3);
  expect(tries).toBe(2);
  expect(log).toContain("there is a new migration; starting the Worker again");
  expect(log).toContain("Error: the database migrations failed");
});

it("starts the Worker again when its sources have changed, and leaves it alone when they cannot be bundled until they change again", async () => {
  let changed = false;
  let tries = 0;
  const log = watch(
    never,
    async () => {
      tries++;
      if (tries === 1) throw new Error("the Worker cannot be bundled");
    },
    () => {
      const was = changed;
      changed = false;
      return was;
    },
  );
  await looks(2);
  for (const round of [1, 2]) {
    changed = true;
    await until("a try", 20_000, async () => (tries === round ? true : null));
    await looks(asked.length + 5);
    expect(tries).toBe(round);
  }
  expect(log).toContain("its sources have changed; starting the Worker again");
  expect(log).toContain("Error: the Worker cannot be bundled");
});
