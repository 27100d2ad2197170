// What only a browser can say: that a page of one origin calls a gateway of another with a key that never leaves WebCrypto, reads what it may and
// nothing else; and that a page of an origin that is not named reads nothing.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { createServer, type Server } from "node:http";
import { after, before, test } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { debianProgram } from "../../../tools/debian-packages.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import { newTestCa, tlsListener } from "./testing/test-certificates.ts";

const bounded = { timeout: 120_000 };
/** What proofs must name, on whichever port the test listens. */
const named = "https://localhost";
let upstream: CountingUpstream;
let pages: Server;
let pagePort: number;
let bed: TestGateway;
let chrome: Browser;

before(async () => {
  upstream = await startCountingUpstream();
  upstream.answer = (request, response, body) =>
    response
      .writeHead(200, { "content-type": "application/json", etag: '"7"', "x-inner": "1" })
      .end(JSON.stringify({ method: request.method, body }));
  pages = createServer((_request, response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>shop"));
  await new Promise<void>((resolve) => pages.listen(0, "127.0.0.1", resolve));
  const address = pages.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  pagePort = address.port;
  const listener = tlsListener(newTestCa("workloads"));
  const { integrations, ...estate } = marketplace(upstream.url);
  const cors = {
    origins: [`http://localhost:${pagePort}`],
    allowHeaders: [],
    exposeHeaders: ["etag"],
    maxAgeSeconds: 600,
  };
  bed = await startTestGateway({
    estate: { ...estate, integrations: integrations.map((one) => ({ ...one, cors })) },
    openLog: openTestLog,
    listeners: [listener],
  });
  const key = new X509Certificate(listener.tls?.cert ?? "").publicKey.export({ type: "spki", format: "der" });
  const pin = createHash("sha256").update(key).digest("base64");
  chrome = await chromium.launch({
    executablePath: debianProgram("chromium"),
    args: [`--ignore-certificate-errors-spki-list=${pin}`, "--no-sandbox", "--disable-dev-shm-usage"],
  });
}, bounded);
after(async () => {
  await chrome?.close();
  await bed?.close();
  pages?.close();
  await upstream?.close();
});

/** In the page: a key, and calls with proofs by it. The private half cannot be exported. */
const program = `
  const text = (octets) => btoa(String.fromCharCode(...new Uint8Array(octets))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const utf8 = (value) => new TextEncoder().encode(value);
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const jwk = { crv, kty, x, y };
  window.jkt = text(await crypto.subtle.digest("SHA-256", utf8(JSON.stringify(jwk))));
  let nonce;
  window.send = async ({ url, htu, token, ...init }) => {
    const method = init.method ?? "GET";
    const ath = text(await crypto.subtle.digest("SHA-256", utf8(token)));
    const claims = { jti: crypto.randomUUID(), htm: method, htu, iat: Math.floor(Date.now() / 1000), ath, nonce };
    const signed = text(utf8(JSON.stringify({ typ: "dpop+jwt", alg: "ES256", jwk }))) + "." + text(utf8(JSON.stringify(claims)));
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, utf8(signed));
    const headers = { ...init.headers, authorization: "DPoP " + token, dpop: signed + "." + text(signature) };
    const response = await fetch(url, { ...init, headers });
    nonce = response.headers.get("dpop-nonce") ?? nonce;
    const read = (name) => response.headers.get(name);
    return { status: response.status, text: await response.text(), id: read("sallyport-crossing"), etag: read("etag"), inner: read("x-inner"), challenge: read("www-authenticate") };
  };
`;

interface Read {
  readonly status: number;
  readonly text: string;
  readonly id: string | null;
  readonly etag: string | null;
  readonly inner: string | null;
  readonly challenge: string | null;
}

async function openPage(host: string) {
  const page: Page = await chrome.newPage();
  await page.goto(`http://${host}:${pagePort}/`);
  await page.evaluate(`(async () => {${program}})()`);
  const jkt = String(await page.evaluate("window.jkt"));
  const token = new TestCaller(bed.feed, "orders").token("billing", { cnf: { jkt } });
  const send = (path: string, init: object = {}): Promise<Read> => {
    const asked = { url: `${named}:${bed.addresses[0]?.port}${path}`, htu: `${named}${path}`, token, ...init };
    return page.evaluate(`window.send(${JSON.stringify(asked)})`);
  };
  return { page, send };
}

test(
  "a page calls with a proof made by WebCrypto, reads nonce, answers and denials, and no page of another origin does",
  bounded,
  async () => {
    const { page, send } = await openPage("localhost");
    const first = await send("/billing/v1/invoices/1");
    assert.equal(first.status, 401, "the nonce was not known");
    assert.match(first.challenge ?? "", /use_dpop_nonce/);
    const read = await send("/billing/v1/invoices/1");
    assert.deepEqual([read.status, read.etag, read.inner], [200, '"7"', null], read.text);
    assert.equal(JSON.parse(read.text).method, "GET");
    const [leaf] = await bed.leaves(read.id ?? "");
    assert.ok(leaf?.t === "crossing" && leaf.proof === "dpop");
    const content = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"amount":5,"customer":"c"}',
    };
    const created = await send("/billing/v1/invoices", content);
    assert.deepEqual([created.status, JSON.parse(created.text).body], [200, content.body]);
    const denied = await send("/billing/v1/regions/us");
    assert.deepEqual([denied.status, JSON.parse(denied.text).code], [403, "policy-denied"]);
    assert.ok(denied.id !== null);
    const reached = upstream.seen.length;
    assert.ok(upstream.seen.every(({ method }) => method !== "OPTIONS"));
    // The browser keeps it from asking at all.
    await assert.rejects(send("/billing/v1/invoices/1", { method: "DELETE" }), /Failed to fetch/);
    await assert.rejects(send("/billing/v1/invoices/1", { headers: { "x-other": "1" } }), /Failed to fetch/);
    await page.close();
    const other = await openPage("127.0.0.1");
    await assert.rejects(other.send("/billing/v1/invoices/1"), /Failed to fetch/);
    await other.page.close();
    assert.equal(upstream.seen.length, reached);
  },
);
