import { describe, expect, it } from "vitest";
import { createAddressPolicy } from "../../src/sources/outgoing/address-policy.ts";

describe("the outgoing policy", () => {
  const standard = createAddressPolicy([]);

  it.each(["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "172.15.0.1"])(
    "permits the public address %s",
    (address) => expect(standard.permits(address)).toBe(true),
  );

  it.each([
    [
      "loopback",
      ["127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "127.1", "0x7f.1", "2130706433", "017700000001"],
    ],
    ["mapped", ["::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"]],
    ["compatible", ["::127.0.0.1", "::7f00:1", "::10.0.0.1"]],
    ["NAT64", ["64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::1"]],
    ["translated", ["::ffff:0:127.0.0.1"]],
    ["tunnels", ["2002:7f00:1::", "2002:808:808::1", "2001:0:7f00:1::"]],
    ["private", ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1", "fec0::1"]],
    ["link-local and metadata", ["169.254.0.1", "169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254"]],
    ["unspecified", ["0.0.0.0", "0.1.2.3", "::"]],
    ["multicast and broadcast", ["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1"]],
    ["shared by carriers", ["100.64.0.1", "100.100.100.200"]],
    ["documentation", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"]],
    ["benchmarks and reserved", ["198.18.0.1", "192.0.0.8", "240.0.0.1", "2001:2::1", "100::1", "4000::1", "5f00::1"]],
    ["no addresses", ["", "localhost", "1.2.3.4.5", "::g", "127.0.0.1/8"]],
  ])("refuses: %s", (_, addresses) => {
    expect(addresses.filter((address) => standard.permits(address))).toEqual([]);
  });

  it("permits what the operator allows, and nothing beside it", () => {
    const policy = createAddressPolicy(["127.0.0.0/8", "fd00::/8"]);
    for (const address of ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "fd00::1", "8.8.8.8"]) {
      expect(policy.permits(address), address).toBe(true);
    }
    for (const address of ["10.0.0.1", "::1", "fc00::1"]) expect(policy.permits(address), address).toBe(false);
  });

  it("cannot be made from what is no network", () => {
    expect(() => createAddressPolicy(["10.0.0.0"])).toThrow();
  });
});
