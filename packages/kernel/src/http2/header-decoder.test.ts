import assert from "node:assert/strict";
import { connect } from "node:http2";
import { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { frameHeadBytes, frameType, preface } from "./frames.ts";
import { HeaderDecoder, tableBytesMax } from "./header-decoder.ts";

const bounds = { listBytesMax: 64 * 1024, fieldsMax: 200 };
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

function read(decoder: HeaderDecoder, octets: Buffer): string {
  const block = decoder.read(octets);
  if (block.kind !== "fields") return block.kind;
  return block.fields.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\n`)).join("");
}

describe("header blocks", () => {
  test("the examples of RFC 7541 appendix C.3 and C.4: one table over three requests, with and without Huffman code", () => {
    const request = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
    const last =
      ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n";
    const plain = new HeaderDecoder(bounds);
    assert.equal(read(plain, hex("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d")), request);
    assert.equal(read(plain, hex("8286 84be 5808 6e6f 2d63 6163 6865")), `${request}cache-control: no-cache\n`);
    assert.equal(read(plain, hex("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")), last);
    const coded = new HeaderDecoder(bounds);
    assert.equal(read(coded, hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")), request);
    assert.equal(read(coded, hex("8286 84be 5886 a8eb 1064 9cbf")), `${request}cache-control: no-cache\n`);
    assert.equal(read(coded, hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")), last);
  });

  test("what nghttp2 writes is read as it was meant: seeded names and values of every octet it sends", async () => {
    const random = seeded(20261130);
    const sent: string[][] = [];
    const written: Buffer[] = [];
    const wire = new Duplex({
      read() {
        // Nobody answers.
      },
      write(octets: Buffer, _encoding, done) {
        written.push(octets);
        done();
      },
    });
    const session = connect("https://localhost", {
      createConnection: () => wire,
      settings: { enablePush: false },
      peerMaxConcurrentStreams: 10_000,
    });
    session.on("error", () => {
      // It is destroyed below.
    });
    for (let i = 0; i < 400; i++) {
      const fields = [":method", "GET", ":scheme", "https", ":path", `/${i}`, ":authority", "localhost"];
      for (let j = random(6); j > 0; j--) fields.push(`x-${random(20)}`, someValue(random));
      sent.push(fields);
      const stream = session.request(fields);
      stream.on("error", () => {
        // It is never answered.
      });
    }
    await new Promise((resolve) => setImmediate(resolve));
    const decoder = new HeaderDecoder(bounds);
    const blocks = headerBlocks(Buffer.concat(written));
    session.destroy();
    assert.equal(blocks.length, sent.length);
    for (const [i, block] of blocks.entries()) {
      const got = decoder.read(block);
      assert.deepEqual(got, { kind: "fields", fields: sent[i] });
    }
  });

  test("too many fields or octets are counted and not kept, and the next block is read all the same", () => {
    const decoder = new HeaderDecoder({ listBytesMax: 200, fieldsMax: 3 });
    const field = hex("4003 782d 6101 62");
    assert.equal(read(decoder, Buffer.concat([field, field, field, field])), "too-large");
    assert.equal(read(decoder, hex("be")), "x-a: b\n");
    const long = Buffer.concat([hex("4003 782d 6c7f 1c"), Buffer.alloc(155, "a")]);
    assert.equal(read(decoder, Buffer.concat([long, hex("be be")])), "too-large");
    assert.equal(read(decoder, hex("bf")), "x-a: b\n");
  });

  const malformed: readonly (readonly [string, string])[] = [
    ["index 0", "80"],
    ["an index beyond both tables", "be"],
    ["a name index beyond both tables", "7f 00 01 61"],
    ["an integer that does not end", "ff ff ff"],
    ["an integer of zeros that goes on", "ff 80 80 80 80 80 80 00"],
    ["an integer beyond everything", "ff ff ff ff ff ff 0f"],
    ["a string beyond the block", "00 03 61 62"],
    ["a name without its value", "00 01 61"],
    ["a size update behind a field", "82 20"],
    ["a size update beyond the table", "3f e2 1f"],
    ["EOS inside a Huffman string", "00 01 61 84 ff ff ff ff"],
    ["padding that is not all ones", "00 01 61 81 1e"],
    ["padding of a whole octet", "00 01 61 82 1f ff"],
  ];
  for (const [name, octets] of malformed)
    test(`${name} is malformed`, () => assert.equal(read(new HeaderDecoder(bounds), hex(octets)), "malformed"));

  test("the table holds what fits, forgets the oldest, and is emptied by what does not fit", () => {
    const decoder = new HeaderDecoder(bounds);
    assert.equal(read(decoder, hex("3fe11f 4001 61 01 31")), "a: 1\n");
    // 32 and 2 for a: 34 octets are exactly its size.
    assert.equal(read(decoder, hex("3f03 be")), "a: 1\n");
    assert.equal(read(decoder, hex("3f02 be")), "malformed");
    const empty = new HeaderDecoder(bounds);
    const length = tableBytesMax;
    const large = Buffer.concat([
      hex("4001 62 7f"),
      Buffer.from([((length - 127) % 128) + 128, (length - 127) >> 7]),
      Buffer.alloc(length, "c"),
    ]);
    assert.equal(read(empty, hex("4001 61 01 31")), "a: 1\n");
    assert.equal(empty.read(large).kind, "fields");
    assert.equal(read(empty, hex("be")), "malformed");
  });
});

/** Numbers from 0 to below `n`. */
function seeded(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function someValue(random: (n: number) => number): string {
  const letters = Array.from({ length: random(60) }, () =>
    String.fromCharCode(random(8) === 0 ? 0xa0 + random(0x60) : 0x21 + random(0x5e)),
  );
  return letters.join("");
}

function headerBlocks(octets: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = preface.length; at < octets.length; ) {
    const length = octets.readUIntBE(at, 3);
    // Without padding; priority is five octets where its flag is set.
    const skipped = ((octets[at + 4] ?? 0) & 0x20) === 0 ? 0 : 5;
    if (octets[at + 3] === frameType.headers)
      blocks.push(octets.subarray(at + frameHeadBytes + skipped, at + frameHeadBytes + length));
    at += frameHeadBytes + length;
  }
  return blocks;
}
