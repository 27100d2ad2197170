// The gateway and a real provider behind it, node:http and nginx, read the same requests out of the same octets, or the provider is not reached.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareConnections, compareStreams, type PairReport } from "./smuggling-pairs.test-support.ts";
import { bentConnections } from "./testing/bent-http2.ts";
import { bentStreams, corpusStreams, mutations } from "./testing/bent-streams.ts";

const seed = 9112;
const count = 150;
const bounded = { timeout: 300_000 };

function assertAlike({ differences, connectionsReused }: PairReport): void {
  assert.deepEqual(differences, []);
  // Requests of one stream share the provider's connection with those of all others: what desynchronises it shows in the next ones.
  assert.ok(connectionsReused.node > 0 && connectionsReused.nginx > 0, JSON.stringify(connectionsReused));
}

describe("attack: request smuggling through gateway and provider, pipelined on kept connections", bounded, () => {
  test("the corpus: each mutation between two good requests", {
    skip: mutations === null && "no vectors; set SALLYPORT_VECTORS",
  }, async () => {
    assert.ok(mutations !== null);
    const report = await compareStreams(corpusStreams(mutations));
    assertAlike(report);
    // The read in front of each passes in both pairs.
    assert.ok(report.reached >= report.streams * 2, JSON.stringify(report));
  });

  test(`${count} bent streams`, async () => {
    const report = await compareStreams(bentStreams({ seed, count }));
    assertAlike(report);
    assert.ok(report.reached > count && report.refused > count / 4, JSON.stringify(report));
  });

  test(`${count} bent connections of HTTP/2, written anew as HTTP/1.1`, async () => {
    const report = await compareConnections(bentConnections({ seed, count }));
    assertAlike(report);
    assert.ok(report.reached > count * 4 && report.refused > count / 2, JSON.stringify(report));
  });
});
