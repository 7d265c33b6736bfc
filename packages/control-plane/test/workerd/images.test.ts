/** Kept images, pins, history and cancel through the API. */

import { env } from "cloudflare:workers";
import { type BuildList, type BuildView, type ErrorBody, type ImageList, type ImageState } from "@open-inspect/protocol";
import { expect, it } from "vitest";
import { connectRuntime, eventually, json, playWholeBuild, someSha, startedSandbox } from "./harness.ts";

const imagePath = "/api/repositories/acme/shop/image";
const image = async () => (await json<ImageState>("GET", imagePath)).body;
const list = async () => (await json<ImageList>("GET", "/api/images?repository=acme/shop")).body.images;

/** An image of each commit, one after the other. */
async function buildImages(...digits: string[]): Promise<void> {
  for (const [index, digit] of digits.entries()) {
    const build =
      index === 0
        ? (await json<ImageState>("PUT", imagePath, { enabled: true })).body.latestBuild
        : (await json<{ build: BuildView }>("POST", `${imagePath}/builds`)).body.build;
    await playWholeBuild(await connectRuntime((await startedSandbox(build?.id ?? "")).config), someSha(digit));
    await eventually(async () => (await image()).active?.sha === someSha(digit), `the image of ${digit} is active`);
  }
}

it("[AP11] a kept image is made active with a reason, stays so until it is unpinned, and what is not kept is refused", async () => {
  await buildImages("a", "b");
  const [newest, older] = await list();
  expect([newest?.state, older?.state]).toEqual(["active", "kept"]);
  const path = `/api/images/${older?.id}/activate`;
  expect((await json<ErrorBody>("POST", path, { reason: "" })).body.error.code).toBe("invalid_request");
  expect((await json<ErrorBody>("POST", path, { reason: "b is slow", until: 1 })).status).toBe(400);
  const { body, status } = await json<ImageState>("POST", path, { reason: "b is slow" });
  expect(status).toBe(200);
  expect(body).toMatchObject({
    active: { id: older?.id },
    pin: { imageId: older?.id, reason: "b is slow", by: "dev", until: null },
  });
  expect(await image()).toMatchObject({ active: { id: older?.id }, pin: { reason: "b is slow" } });
  expect((await json<ImageState>("DELETE", `${imagePath}/pin`)).body.pin).toBeNull();
  await json("PUT", imagePath, { enabled: false });
  expect((await json<ErrorBody>("POST", path, { reason: "r" })).body.error.code).toBe("image_unavailable");
  const unknown = `/api/images/img_${"0".repeat(26)}/activate`;
  expect((await json<ErrorBody>("POST", unknown, { reason: "r" })).body.error.code).toBe("image_not_found");
  expect((await json<ErrorBody>("GET", "/api/images?repository=acme/none")).status).toBe(404);
});

it("[AP12] [IB17] history has a cursor; a running build is cancelled, an ended one is not", async () => {
  await buildImages("a");
  const { body } = await json<{ build: BuildView }>("POST", `${imagePath}/builds`);
  await startedSandbox(body.build.id);
  const cancelled = await json<{ build: BuildView }>("POST", `/api/builds/${body.build.id}/cancel`);
  expect(cancelled.body.build).toMatchObject({ id: body.build.id, status: "cancelled", requestedBy: "dev" });
  expect((await json<ErrorBody>("POST", `/api/builds/${body.build.id}/cancel`)).body.error.code).toBe("build_ended");
  expect(await image()).toMatchObject({ status: "ready", active: { sha: someSha("a") } });
  const first = await json<BuildList>("GET", "/api/builds?repository=acme/shop&limit=1");
  expect(first.body.builds.map((build) => build.status)).toEqual(["cancelled"]);
  const second = await json<BuildList>("GET", `/api/builds?repository=acme/shop&limit=1&before=${first.body.next}`);
  expect(second.body.builds.map((build) => build.status)).toEqual(["ready"]);
  expect(second.body.next).toBeNull();
  expect((await json<ErrorBody>("GET", "/api/builds?repository=acme/shop&before=x")).status).toBe(400);
});

it("[AP12] the history says who wrote a build's commit, and keeps it when the ledger forgets", async () => {
  await buildImages("a");
  const written = { author: "Ada Lovelace", login: "ada", headline: `Commit ${someSha("a").slice(0, 7)}` };
  await env.DB.prepare("DELETE FROM head_sightings").run();
  const { body } = await json<BuildList>("GET", "/api/builds?repository=acme/shop");
  expect(body.builds.map((build) => [build.sha, build.commit])).toEqual([[someSha("a"), written]]);
  expect((await image()).latestBuild?.commit).toEqual(written);
});

it("[IB22] settings are checked, kept and shown", async () => {
  const path = `${imagePath}/settings`;
  const settings = { limitMinutes: 45, keptImages: 2, rebuildMode: "clean" };
  expect((await json<ImageState>("PUT", path, settings)).body.settings).toEqual(settings);
  expect((await image()).settings).toEqual(settings);
  expect((await json<ErrorBody>("PUT", path, { ...settings, limitMinutes: 61 })).status).toBe(400);
  expect((await json<ErrorBody>("PUT", path, { ...settings, keptImages: 0 })).status).toBe(400);
});
