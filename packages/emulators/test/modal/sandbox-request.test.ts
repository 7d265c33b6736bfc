import { describe, expect, it } from "vitest";
import { toSandboxSpec } from "../../src/modal/sandbox-request.ts";
import { type SandboxDefinition } from "../../src/modal/wire.ts";

const image = {
  id: "im-1",
  filesystem: "fs-1",
  ownsFilesystem: true,
  env: { A: "image", B: "image" },
  workdir: "/image",
  origin: { kind: "snapshot" as const, sandboxId: "sb-0" },
  createdAt: 0,
  expiresAt: null,
};
const plain: SandboxDefinition = {
  entrypointArgs: [],
  imageId: "im-1",
  secretIds: [],
  timeoutSecs: 300,
  blockNetwork: false,
  volumeMounts: [],
  cloudBucketMounts: [],
};
const toSpec = (changes: Partial<SandboxDefinition>) =>
  toSandboxSpec("v2", "ap-1", { ...plain, ...changes }, {}, image, { A: "secret" });

describe("a request for a sandbox", () => {
  it("puts its own environment over the image's", () => {
    const { guest } = toSpec({});
    expect([guest.env, guest.workdir]).toEqual([{ A: "secret", B: "image" }, "/image"]);
    expect(toSpec({ workdir: "/own" }).guest.workdir).toBe("/own");
  });

  it.each([
    [{ networkAccessType: 1, allowedCidrs: [], allowedDomains: [] }, [false, null, null]],
    [{ networkAccessType: 2, allowedCidrs: [], allowedDomains: [] }, [true, [], []]],
    [{ networkAccessType: 3, allowedCidrs: [], allowedDomains: ["*.npmjs.org"] }, [false, ["*.npmjs.org"], []]],
    [{ networkAccessType: 3, allowedCidrs: ["1.2.3.0/24"], allowedDomains: [] }, [false, [], ["1.2.3.0/24"]]],
  ])("makes a network policy of %o", (networkAccess, expected) => {
    const { network } = toSpec({ networkAccess }).guest;
    expect([network.blockNetwork, network.outboundDomainAllowlist, network.outboundCidrAllowlist]).toEqual(expected);
  });

  it("caps at the limit, else at the request, else not at all", () => {
    const caps = (resources: SandboxDefinition["resources"]) => {
      const { cpu, memoryMiB } = toSpec({ resources }).guest;
      return [cpu, memoryMiB];
    };
    expect(caps({ milliCpu: 500, milliCpuMax: 2000, memoryMb: 256, memoryMbMax: 1024 })).toEqual([2, 1024]);
    expect(caps({ milliCpu: 500, milliCpuMax: 0, memoryMb: 256, memoryMbMax: 0 })).toEqual([0.5, 256]);
    expect(caps(undefined)).toEqual([null, null]);
  });

  it("has an id of the shape that tells the SDK its version", () => {
    const v1 = toSandboxSpec("v1", "ap-1", plain, {}, image, {});
    expect([v1.id, toSpec({}).id]).toEqual([
      expect.stringMatching(/^sb-[0-9A-Za-z]{22}$/),
      expect.stringMatching(/^sb-[0-9a-z]{26}$/),
    ]);
  });

  it.each([{ name: "a b" }, { name: "x".repeat(65) }, { timeoutSecs: 0 }, { timeoutSecs: 90_000 }, { volumeMounts: [{}] }])(
    "is refused with %o",
    (changes) => {
      expect(() => toSpec(changes)).toThrow();
    },
  );
});
