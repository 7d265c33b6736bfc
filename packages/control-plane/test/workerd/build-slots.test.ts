/** The object that gives slots away, with image objects behind it. Two builds may run at once in these tests. */
import { env } from "cloudflare:workers";
import { type BuildView, type ImageState } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { connectRuntime, eventually, github, json, playWholeBuild, someSha, startedSandbox } from "./harness.ts";

const slots = () => env.BUILD_SLOTS.getByName("slots");

async function switchOn(name: string): Promise<BuildView> {
  const { body } = await json<ImageState>("PUT", `/api/repositories/acme/${name}/image`, { enabled: true });
  if (!body.latestBuild) throw new Error(`no build of ${name}`);
  return body.latestBuild;
}
const buildOf = async (id: string) => (await json<BuildView>("GET", `/api/builds/${id}`)).body;

it("[BS1] [BS3] a build waits while all slots are taken, begins when one is free, and gives its own back", async () => {
  const repositories = ["a", "b", "c"].map((name) => ({
    owner: "acme",
    name,
    defaultBranch: "main",
    branches: { main: someSha("a") },
  }));
  await github({ do: "repositories", repositories });
  await json("GET", "/api/repositories");
  const [first, second, third] = [await switchOn("a"), await switchOn("b"), await switchOn("c")];
  const running = await connectRuntime((await startedSandbox(first.id)).config);
  await startedSandbox(second.id);
  expect(await slots().counts()).toEqual({ running: 2, waiting: 1 });
  expect(await buildOf(third.id)).toMatchObject({ status: "queued", startedAt: null });
  await playWholeBuild(running);
  await startedSandbox(third.id);
  expect(await slots().counts()).toEqual({ running: 2, waiting: 0 });
  for (const name of ["b", "c"]) await json("PUT", `/api/repositories/acme/${name}/image`, { enabled: false });
  await eventually(async () => (await slots().counts()).running === 0, "cancelled builds give theirs back");
  await slots().release(first.id);
  expect(await slots().counts()).toEqual({ running: 0, waiting: 0 });
});

it("[BS3] a slot that nobody wants any more goes on to the next", async () => {
  for (const one of ["1", "2", "3"]) {
    await slots().request({ buildId: `bld_${one}`, scope: "repo:acme/other", owner: "acme", trigger: "push" });
  }
  await eventually(async () => {
    const { running, waiting } = await slots().counts();
    return running + waiting === 0;
  }, "all are given back");
});
