import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openTestChannel, testCertificate } from "@sallyport/control/gateways/channel.test-support.ts";
import { type JoinPorts, joinOnce, renewNode } from "@sallyport/gateway/join/join.ts";
import { fetchListenerTls } from "@sallyport/gateway/join/listener-certificate.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { printJoinToken } from "@sallyport/protocol/join/join-token.ts";
import { openChannelTransport } from "./channel-transport.ts";

test("a gateway joins, renews its key and gets a listener certificate from the real listener; a foreign control gets nothing", {
  timeout: 120_000,
}, async (t) => {
  const channel = await openTestChannel();
  const directory = mkdtempSync(join(tmpdir(), "sallyport-node-"));
  t.after(async () => {
    await channel.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const dialer = createDialer();
  const ports: JoinPorts = {
    dataDirectory: directory,
    now: () => Date.now(),
    setAside: () => assert.fail("a first join puts nothing aside"),
    transport: (control) => openChannelTransport(dialer, control),
  };
  const token = (pin: string) =>
    printJoinToken({
      v: 1,
      url: channel.url,
      pin,
      tenant: "main",
      environment: "production",
      region: "eu",
      group: "production-eu",
      snapshotKey: { kid: "k".repeat(43), x: "x".repeat(43) },
      secret: channel.registry.newToken(Date.now() + 60_000),
      expiresAt: Date.now() + 60_000,
    });
  const foreign = testCertificate(channel.ca, { ip: ["127.0.0.1"] }).pin;
  await assert.rejects(joinOnce(token(foreign), ports), { code: "join-unreachable" });
  assert.equal([...channel.registry.tokens.values()].filter(({ usedBy }) => usedBy !== null).length, 0);

  const once = token(channel.server.pin);
  const identity = await joinOnce(once, ports);
  assert.deepEqual(channel.registry.nodes.get(identity.node)?.state, "active");
  const second = mkdtempSync(join(tmpdir(), "sallyport-node-"));
  t.after(() => rmSync(second, { recursive: true, force: true }));
  await assert.rejects(joinOnce(once, { ...ports, dataDirectory: second }), { code: "join-refused" });

  const transport = openChannelTransport(dialer, identity, { cert: identity.certificate, key: identity.nodeKey });
  t.after(() => transport.close());
  const listener = await fetchListenerTls(directory, transport);
  assert.match(listener.cert, /BEGIN CERTIFICATE[\s\S]*BEGIN CERTIFICATE/);
  const renewed = await renewNode(identity, directory, transport);
  const next = openChannelTransport(dialer, renewed, { cert: renewed.certificate, key: renewed.nodeKey });
  t.after(() => next.close());
  await next.post("/channel/v1/up", JSON.stringify({ t: "ack", keySeq: 1, revocationSeq: 1, epoch: 1, version: 1 }));
  assert.equal(channel.received[0]?.from.node, identity.node);
});
