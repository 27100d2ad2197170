import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { pens, strangePens } from "./signers.ts";
import { listFiles } from "./source-text.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const file = (path: string, text: string) => ({ path, text });

test("each kind of token has one signer, and nothing but protocol/token takes tokens apart", () => {
  const files = listFiles(root);
  assert.deepEqual(strangePens(files), []);
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  for (const { names, hands } of pens) {
    for (const hand of hands)
      assert.ok(
        names.some((name) => texts.get(hand)?.includes(name)),
        `${hand} still signs with ${names}; else remove it`,
      );
  }
});

test("a second signer, a second verifier and a token library are found", () => {
  const bad = [
    file("packages/gateway/src/a.ts", 'import { signAccessToken } from "@sallyport/protocol/token/access-token.ts";'),
    file("packages/control/src/a.ts", 'import { signHopToken } from "@sallyport/protocol/token/hop-token.ts";'),
    file("packages/sdk/src/a.ts", 'import { parseCompactJws } from "@sallyport/protocol/token/jws.ts";'),
    file("packages/control/src/b.ts", 'import { jwtVerify } from "jose";'),
  ];
  for (const one of bad) assert.equal(strangePens([one]).length, 1, one.text);
  assert.deepEqual(
    strangePens([
      file(
        "packages/control/src/identity/mint.ts",
        'import { signAccessToken } from "@sallyport/protocol/token/access-token.ts";',
      ),
      file("packages/gateway/src/a.test.ts", 'import { jwtVerify } from "jose";'),
      file("packages/gateway/src/b.ts", 'import { readAccessToken } from "@sallyport/protocol/token/access-token.ts";'),
    ]),
    [],
  );
});
