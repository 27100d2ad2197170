// Whatever we take for a request, llhttp takes for the same request: method, target, fields, content, and where it ends.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readOurs } from "./message-stream.test-support.ts";
import { bentRequests, sameRequests } from "./testing/bent-requests.ts";

const seed = 9112;
const runs = 1_500;

describe("beside llhttp in its strict form", () => {
  test(`${runs} bent streams: what we accept, it accepts as the same messages`, async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(bentRequests, async (text) => {
        accepted += await sameRequests(text);
      }),
      { seed, numRuns: runs },
    );
    assert.ok(accepted > runs / 4, `a comparison of nothing proves nothing: ${accepted}`);
  });

  test("every single octet at every place of two requests: what we accept, it accepts as the same messages", async () => {
    const two =
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    const odd = ["\0", "\t", "\n", "\r", " ", '"', ",", "0", ":", ";", "A", "\x7f", "\xff"];
    let accepted = 0;
    for (let at = 0; at <= two.length; at++)
      for (const octet of odd) {
        accepted += await sameRequests(two.slice(0, at) + octet + two.slice(at + 1));
        accepted += await sameRequests(two.slice(0, at) + octet + two.slice(at));
      }
    assert.ok(accepted > two.length, `${accepted}`);
  });
});

describe("however the octets were cut", () => {
  test(`${runs} bent streams in random pieces have the reading they have in one`, () => {
    fc.assert(
      fc.property(bentRequests, fc.array(fc.nat({ max: 400 }), { maxLength: 8 }), (text, places) => {
        const octets = Buffer.from(text, "latin1");
        const cuts = [...new Set(places.map((place) => place % (octets.length + 1)))].sort((a, b) => a - b);
        const pieces = [...cuts, octets.length].map((end, i) => octets.subarray(cuts[i - 1] ?? 0, end));
        assert.deepEqual(readOurs(pieces), readOurs([octets]));
      }),
      { seed, numRuns: runs },
    );
  });
});
