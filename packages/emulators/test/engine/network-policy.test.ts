import { describe, expect, it } from "vitest";
import { type NetworkPolicy } from "../../src/modal/engine/engine.ts";
import { egressRules } from "../../src/modal/engine/network-policy.ts";

const policy = (part: Partial<NetworkPolicy> = {}): NetworkPolicy => ({
  blockNetwork: false,
  outboundDomainAllowlist: null,
  outboundCidrAllowlist: null,
  ...part,
});
const reaches = (rules: ReturnType<typeof egressRules>, host: string, address: string) =>
  rules.allowsHost(host) && rules.allowsAddress(host, address);

describe("egress rules", () => {
  it("without lists any public address is reached", () => {
    const rules = egressRules(policy());
    expect(reaches(rules, "example.com", "93.184.215.14")).toBe(true);
    expect(reaches(rules, "example.com", "2606:2800:21f::1")).toBe(true);
    expect(reaches(rules, "8.8.8.8", "8.8.8.8")).toBe(true);
  });

  it.for([
    "127.0.0.1",
    "127.9.9.9",
    "10.1.2.3",
    "172.31.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00::2",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
  ])("%s is out of reach under any name", (address) => {
    expect(reaches(egressRules(policy()), "rebind.example.com", address)).toBe(false);
    expect(reaches(egressRules(policy({ outboundCidrAllowlist: ["0.0.0.0/0", "::/0"] })), "rebind.example.com", address)).toBe(
      false,
    );
    expect(reaches(egressRules(policy({ outboundDomainAllowlist: ["*"] })), "rebind.example.com", address)).toBe(false);
  });

  it("the host's own addresses are out of reach, public or not", () => {
    expect(reaches(egressRules(policy(), [], ["203.0.114.7", "fe80::1%eth0"]), "me.example.com", "203.0.114.7")).toBe(false);
  });

  it("addresses that the operator named are reached", () => {
    const rules = egressRules(policy(), ["10.9.0.0/16"]);
    expect(reaches(rules, "mirror.corp", "10.9.1.1")).toBe(true);
    expect(reaches(rules, "mirror.corp", "10.8.1.1")).toBe(false);
  });

  it("a domain list allows its names and what its wildcards cover, nothing else", () => {
    const rules = egressRules(policy({ outboundDomainAllowlist: ["registry.npmjs.org", "*.GitHub.com"] }));
    const address = "93.184.215.14";
    expect(reaches(rules, "registry.npmjs.org", address)).toBe(true);
    expect(reaches(rules, "Registry.NPMJS.org.", address)).toBe(true);
    expect(reaches(rules, "api.github.com", address)).toBe(true);
    expect(reaches(rules, "a.b.github.com", address)).toBe(true);
    for (const host of ["github.com", "evilgithub.com", "npmjs.org", "registry.npmjs.org.evil.com", "93.184.215.14"])
      expect(reaches(rules, host, address), host).toBe(false);
  });

  it("a CIDR list allows its addresses under any name, nothing else", () => {
    const rules = egressRules(policy({ outboundCidrAllowlist: ["93.184.0.0/16"] }));
    expect(reaches(rules, "any.example.com", "93.184.215.14")).toBe(true);
    expect(reaches(rules, "93.184.1.1", "93.184.1.1")).toBe(true);
    expect(reaches(rules, "any.example.com", "93.185.0.1")).toBe(false);
  });

  it("with both lists either is enough", () => {
    const rules = egressRules(policy({ outboundDomainAllowlist: ["a.com"], outboundCidrAllowlist: ["93.184.0.0/16"] }));
    expect(reaches(rules, "a.com", "1.2.3.4")).toBe(true);
    expect(reaches(rules, "b.com", "93.184.1.1")).toBe(true);
    expect(reaches(rules, "b.com", "1.2.3.4")).toBe(false);
  });

  it("a blocked network and empty lists allow nothing", () => {
    for (const part of [
      { blockNetwork: true },
      { outboundDomainAllowlist: [] },
      { outboundCidrAllowlist: [] },
      { blockNetwork: true, outboundDomainAllowlist: ["*"] },
    ]) {
      const rules = egressRules(policy(part));
      expect(rules.anyEgress).toBe(false);
      expect(reaches(rules, "example.com", "93.184.215.14")).toBe(false);
    }
  });

  it("what is not a CIDR block is refused", () => {
    for (const cidr of ["10.0.0.0/33", "ten", "10.0.0.0/-1", "::/129"])
      expect(() => egressRules(policy({ outboundCidrAllowlist: [cidr] }))).toThrow("not a CIDR block");
  });
});
