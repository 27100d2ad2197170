import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { trustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import { AdminListener } from "./admin/admin-listener.ts";
import { testAuthority, testCertificate } from "./gateways/channel.test-support.ts";
import { listenIdentity } from "./identity/identity-listener.ts";
import { loopbackConnectionsMax, sourcePrefix } from "./source-places.ts";

const authority = testAuthority("listeners");
const tls = testCertificate(authority, { ip: ["127.0.0.1"] });

/** Silent connections, more than loopback has places for; resolves when those over it were closed. */
async function fill(port: number, over: number): Promise<readonly Socket[]> {
  const sockets: Socket[] = [];
  for (let at = 0; at < loopbackConnectionsMax; at += 1) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    sockets.push(socket);
    await once(socket, "connect");
  }
  for (let at = 0; at < over; at += 1) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    sockets.push(socket);
    await once(socket, "close");
  }
  return sockets;
}

const bounded = { timeout: 120_000 };

test("attack: one source fills the identity listener with silent connections", bounded, async () => {
  let refused = 0;
  const connectionRefused = () => {
    refused += 1;
  };
  const listener = await listenIdentity({
    host: "127.0.0.1",
    port: 0,
    tls,
    onFault: () => undefined,
    connectionRefused,
  });
  const sockets = await fill(listener.address.port, 3);
  assert.equal(refused, 3);
  for (const socket of sockets) socket.destroy();
  await listener.close();
});

test(
  "a proxy that its operator named stands for many: it has places when another network would have none left",
  bounded,
  async () => {
    let refused = 0;
    const listener = await listenIdentity({
      ...{ host: "127.0.0.1", port: 0, tls, onFault: () => undefined },
      proxies: trustedProxies(["127.0.0.1"], "x-forwarded-for"),
      connectionRefused: () => {
        refused += 1;
      },
    });
    const sockets = await fill(listener.address.port, 0);
    const next = connectTls({ host: "127.0.0.1", port: listener.address.port, ca: authority.certificatePem });
    next.on("error", () => undefined);
    next.write("GET / HTTP/1.1\r\nHost: id.example\r\n\r\n");
    const [answer] = await once(next, "data");
    assert.match(String(answer), /^HTTP\/1\.1 404 /);
    assert.equal(refused, 0);
    for (const socket of [...sockets, next]) socket.destroy();
    await listener.close();
  },
);

test("attack: one source fills the admin listener with silent connections", bounded, async () => {
  let refused = 0;
  const listener = new AdminListener({
    host: "127.0.0.1",
    port: 0,
    tls,
    url: () => "https://127.0.0.1",
    operators: () => assert.fail("nobody asks"),
    api: { fetch: async () => new Response() },
    fault: () => undefined,
    connectionRefused: () => {
      refused += 1;
    },
  });
  const sockets = await fill(await listener.start(), 3);
  assert.equal(refused, 3);
  for (const socket of sockets) socket.destroy();
  await listener.close();
});

test("one customer is one network, however its addresses are written", () => {
  const same: readonly (readonly string[])[] = [
    ["203.0.113.1", "203.0.113.254", "::ffff:203.0.113.7", "::FFFF:203.0.113.7"],
    ["2001:db8:0:1::1", "2001:DB8:0:ff:1::", "2001:db8::2"],
    ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"],
    ["", "socket"],
  ];
  const prefixes = same.map((addresses) => new Set(addresses.map(sourcePrefix)));
  for (const prefix of prefixes) assert.equal(prefix.size, 1, [...prefix].join(" "));
  assert.equal(new Set(prefixes.flatMap((prefix) => [...prefix])).size, same.length);
  assert.notEqual(sourcePrefix("2001:db8:0:100::1"), sourcePrefix("2001:db8:0:1::1"));
});
