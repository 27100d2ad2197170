// `cors` of an integration: which origins and fields are read as they stand, and every list that would let in more pages than somebody meant.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

const jwks = JSON.stringify({ keys: [] });
const files = (cors: string): Record<string, string> => ({
  "systems/billing.yaml":
    "system: billing\nurl: http://billing.internal\noperations:\n  invoice.read: GET /v1/invoices/{id}\n",
  "systems/shop.yaml": "system: shop\n",
  "shop.jwks.json": jwks,
  "integrations/shop-to-billing.yaml": `integration: shop-to-billing\nfrom: shop\nto: billing\npurpose: Customers see their invoices\noperations: [invoice.read]\n${cors}`,
});
const load = (cors: string) => loadEstateFrom(memoryEstateIo(files(cors), () => Date.UTC(2026, 10, 30)));
const read = (cors: string) => load(cors).estate.environments[0]?.integrations[0]?.cors;
const errorsOf = (cors: string) =>
  load(cors).findings.flatMap(({ severity, message }) => (severity === "error" ? [message] : []));

test("origins and fields are read as they stand, each once, with what browsers keep", () => {
  const written =
    "cors:\n  origins: [https://shop.example, 'http://localhost:5173', 'https://shop.example:8443']\n  allowHeaders: [X-Request-Id, traceparent, x-request-id]\n  exposeHeaders: [ETag]\n";
  assert.deepEqual(errorsOf(written), []);
  assert.deepEqual(read(written), {
    origins: ["http://localhost:5173", "https://shop.example", "https://shop.example:8443"],
    allowHeaders: ["traceparent", "x-request-id"],
    exposeHeaders: ["etag"],
    maxAgeSeconds: 600,
  });
  assert.equal(read(""), undefined, "without it no page");
  assert.equal(read("cors: { origins: [https://shop.example], maxAge: 0s }\n")?.maxAgeSeconds, 0);
});

const origins: readonly (readonly [string, RegExp])[] = [
  ["'*'", /everybody's pages/],
  ["'null'", /any page can have it/],
  ["'https://*.shop.example'", /a pattern/],
  ["'https://*'", /a pattern|not an origin/],
  [".shop.example", /not an origin/],
  ["shop.example", /not an origin/],
  ["http://shop.example", /not https/],
  ["http://localhost.evil.example", /not https/],
  ["http://127.0.0.2", /not https/],
  ["http://10.0.0.1", /not https/],
  ["'https://shop.example:443'", /not as browsers write it/],
  ["https://shop.example/", /not as browsers write it/],
  ["https://SHOP.example", /not as browsers write it/],
  ["https://shöp.example", /not as browsers write it/],
  ["https://user@shop.example", /not as browsers write it/],
  ["https://shop.example/app", /not as browsers write it/],
  ["'https://shop.example#'", /not as browsers write it/],
  ["file:///app", /not https/],
  ["chrome-extension://abc", /not https/],
];
for (const [origin, said] of origins)
  test(`attack: the origin ${origin} is refused with what to write, and the integration is not served`, () => {
    const written = `cors: { origins: [${origin}] }\n`;
    assert.match(errorsOf(written).join("\n"), said);
    assert.equal(load(written).estate.environments[0]?.integrations.length, 0);
  });

const lists: readonly (readonly [string, string, RegExp])[] = [
  ["no origin", "cors: { origins: [] }", /./],
  [
    "more origins than anybody looks through",
    `cors: { origins: [${Array.from({ length: 33 }, (_, i) => `https://a${i}.example`)}] }`,
    /./,
  ],
  ["every field of a request", "cors: { origins: [https://a.example], allowHeaders: ['*'] }", /not a field name/],
  ["every field of an answer", "cors: { origins: [https://a.example], exposeHeaders: ['*'] }", /not a field name/],
  [
    "a field with a line end",
    'cors: { origins: [https://a.example], exposeHeaders: ["x\\r\\ny: z"] }',
    /not a field name/,
  ],
  [
    "an identity of ours",
    "cors: { origins: [https://a.example], allowHeaders: [sallyport-identity] }",
    /ends at the gateway/,
  ],
  ["an address", "cors: { origins: [https://a.example], allowHeaders: [x-forwarded-for] }", /ends at the gateway/],
  [
    "a word of the provider to pages",
    "cors: { origins: [https://a.example], exposeHeaders: [access-control-allow-origin] }",
    /does not go back/,
  ],
  ["whoever asks", "cors: { origins: [https://a.example], reflect: true }", /unknown key `reflect`/],
  ["a year", "cors: { origins: [https://a.example], maxAge: 365d }", /out of range/],
];
for (const [what, written, said] of lists)
  test(`refused of cors: ${what}`, () => assert.match(errorsOf(`${written}\n`).join("\n"), said));
