import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import { after, before, describe, test } from "node:test";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { testCertificate } from "../certificates.test-support.ts";
import { createFetchJwks } from "./fetch-jwks.ts";

describe("fetching a key set", () => {
  const tls = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  let answer = (res: ServerResponse): void => void res.end();
  let asked = 0;
  const server = createServer({ cert: tls.cert, key: tls.key }, (_req, res) => {
    asked++;
    answer(res);
  });
  const fetch = createFetchJwks(createDialer());
  let uri = "";
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    uri = `https://127.0.0.1:${typeof address === "object" ? address?.port : ""}/jwks`;
  });
  after(() => server.close());
  const json = { "content-type": "application/jwk-set+json; charset=utf-8" };
  const place = () => ({ uri, allowPrivate: true, ca: tls.cert });

  test("gives the bytes of a 200 that is JSON", async () => {
    answer = (res) => void res.writeHead(200, json).end('{"keys":[]}');
    assert.equal(Buffer.from(await fetch(place())).toString(), '{"keys":[]}');
  });

  test("SSRF via jwksUri: loopback without the word for it is never dialled", async () => {
    const before = asked;
    await assert.rejects(fetch({ ...place(), allowPrivate: false }), { code: "address-refused" });
    assert.equal(asked, before);
  });

  test("another server's certificate, a redirect, an error, HTML and an answer without end are refused", async () => {
    const other = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
    await assert.rejects(fetch({ ...place(), ca: other.cert }), { code: "tls-untrusted" });
    answer = (res) => void res.writeHead(302, { location: `${uri}2` }).end();
    const before = asked;
    await assert.rejects(fetch(place()), /answered with 302/);
    assert.equal(asked, before + 1, "a redirect is not followed");
    answer = (res) => void res.writeHead(500, json).end();
    await assert.rejects(fetch(place()), /answered with 500/);
    answer = (res) => void res.writeHead(200, { "content-type": "text/html" }).end("{}");
    await assert.rejects(fetch(place()), /not declared as JSON/);
    answer = (res) => void res.writeHead(200, json).end(Buffer.alloc(300_000, 0x20));
    await assert.rejects(fetch(place()), { code: "answer-too-large" });
  });
});
