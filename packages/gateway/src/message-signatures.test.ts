// Message signatures (RFC 9421) presented at a real gateway over real sockets: what they open, and the attacks on them (docs/identity/message-signatures.md).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { SignaturesObject } from "@sallyport/protocol/signature/signature-key.ts";
import type { CrossingObserver } from "./ports.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { billing } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { sendRaw } from "./testing/raw-socket.ts";
import { movableClock, startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import {
  issueTestLeaf,
  type KeyedCertificate,
  newTestCa,
  ordersUri,
  portalUri,
  tlsListener,
  withCertificates,
} from "./testing/test-certificates.ts";
import type { TestEstate } from "./testing/test-estate.ts";
import { digestOf, type SignatureChanges, TestSigner, type ToSign } from "./testing/test-signer.ts";

const clock = movableClock();
const now = () => clock.now();
const orders = new TestSigner("orders-2026", "ed25519", now);
const ordersNext = new TestSigner("orders-2027", "ecdsa-p256-sha256", now);
const ordersRsa = new TestSigner("orders-rsa", "rsa-pss-sha512", now);
const portal = new TestSigner("portal-2026", "ecdsa-p256-sha256", now);
const stranger = new TestSigner("nobody", "ed25519", now);

let upstream: CountingUpstream;
let bed: TestGateway;
let base: string;
let read: ToSign;
let create: ToSign;
let upload: ToSign;

const json = '{"amount":5,"customer":"acme"}';
const proof = ["signature", "dpop"] as const;

function estate(changes: Partial<SignaturesObject> = {}): TestEstate {
  const keys = [orders, ordersNext, ordersRsa].map(({ key }) => key);
  const all = ["invoice.read", "invoice.create", "invoice.upload"].map((name) => ({ name }));
  return {
    systems: [
      billing(upstream.url),
      { id: "orders", clients: ["orders"], changes: { signatures: { keys, covers: [], ...changes } } },
      { id: "portal", changes: { signatures: { keys: [portal.key], covers: [] } } },
    ],
    integrations: [
      { id: "orders-to-billing", from: "orders", to: "billing", proof, operations: all },
      { id: "portal-to-billing", from: "portal", to: "billing", operations: all },
    ],
  };
}

let lastCode: string | undefined;
const remember: CrossingObserver["crossing"] = (_, { deny }) => {
  lastCode = deny?.code;
};

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: estate(),
    openLog: openTestLog,
    clock,
    changes: { observers: [{ crossing: remember }] },
  });
  base = bed.addresses[0]?.url ?? "";
  read = { url: `${base}/billing/v1/invoices/1` };
  create = {
    method: "POST",
    url: `${base}/billing/v1/invoices`,
    body: json,
    headers: { "content-type": "application/json" },
  };
  upload = {
    method: "PUT",
    url: `${base}/billing/v1/invoices/1/scan`,
    body: Buffer.alloc(200_000, 7),
    headers: { "content-type": "application/pdf" },
  };
  // A gateway that has just begun takes no signature of before.
  later(10);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

/** Every request of its own second: two that are alike in one are one. */
function later(seconds = 1): void {
  clock.shiftMs += seconds * 1000;
  bed.feed.heartbeat();
}

async function passes(send: () => Promise<Answer>): Promise<Answer> {
  later();
  const reached = upstream.seen.length;
  const answer = await send();
  assert.equal(answer.status, 200, `${answer.text} ${lastCode}`);
  assert.equal(upstream.seen.length, reached + 1);
  return answer;
}

/** Refused with this code for operators, one face for the caller, and nothing for the provider. */
async function refused(code: string, send: () => Promise<Answer>): Promise<Answer> {
  later();
  const reached = upstream.seen.length;
  const answer = await send();
  assert.equal(answer.status, 401, `${answer.text} ${lastCode}`);
  assert.equal(answer.code, "unauthenticated");
  assert.equal(lastCode, code);
  assert.equal(upstream.seen.length, reached);
  return answer;
}

const signed = (changes: SignatureChanges = {}, request = read) => orders.send(request, changes);
/** Signed as it should be, then changed on its way. */
const tampered = (request: ToSign, sent: Partial<ToSign>, changes: SignatureChanges = {}): Promise<Answer> => {
  const { url, ...options } = { ...request, ...sent };
  const fields = orders.fields(request, changes);
  return call(url, { ...options, headers: { ...fields, ...options.headers } });
};

describe("what a signature opens", () => {
  for (const signer of [orders, ordersNext, ordersRsa]) {
    test(`a request signed with ${signer.key.alg} is its system's; the provider gets a hop token and nothing of the signature`, async () => {
      const answer = await passes(() => signer.send(read));
      const { headers = {} } = upstream.seen.at(-1) ?? {};
      assert.equal(headers["signature"] ?? headers["signature-input"], undefined);
      const hop = String(headers["sallyport-identity"]).split(".")[1] ?? "";
      assert.equal(JSON.parse(Buffer.from(hop, "base64url").toString("utf8")).sub, "orders");
      const [leaf] = await bed.leaves(answer.id);
      assert.ok(leaf?.t === "crossing");
      assert.deepEqual([leaf.proof, leaf.verdict], ["signature", "allow"]);
    });
  }

  test("content is held against its signed digest, as JSON and as a stream, and the provider gets it whole", async () => {
    await passes(() => orders.send(create));
    assert.equal(upstream.seen.at(-1)?.body, json);
    await passes(() => orders.send(upload));
    assert.equal(upstream.seen.at(-1)?.body.length, 200_000);
    assert.equal(upstream.seen.at(-1)?.headers["content-digest"], digestOf(upload.body ?? ""));
  });

  test("sha-512 alone, and both together, are digests as well; no content has a digest too", async () => {
    const digest = `sha-512=:${createHash("sha512").update(json).digest("base64")}:`;
    for (const field of [digest, `${digestOf(json)}, ${digest}`]) {
      await passes(() => {
        const fields = orders.fields(create, { signed: { "content-digest": field } });
        return call(create.url, { ...create, headers: { ...create.headers, ...fields, "content-digest": field } });
      });
    }
    await passes(() => {
      const headers = { "content-digest": digestOf("") };
      return orders.send({ ...read, headers }, { components: ['"@method"', '"@target-uri"', '"content-digest"'] });
    });
  });

  test("authority, path and query in place of the target, in any order and beside other fields", async () => {
    const request = { url: `${read.url}?a=1&b=%20x`, headers: { "x-more": "1" } };
    await passes(() =>
      orders.send(request, {
        components: ['"x-more"', '"@query"', '"@path"', '"@authority"', '"@method"', '"@scheme"', '"@request-target"'],
        parameters: ';tag="shop";alg="ed25519"',
      }),
    );
    await passes(() => signed({ components: ['"@method"', '"@authority"', '"@path"'] }));
    await passes(() => signed({ components: ['"@method"', '"@authority"', '"@request-target"'] }));
  });

  test("several signatures: ours is found among those of others, and two of one system are one caller", async () => {
    await passes(() => {
      const fields = orders.fields(read);
      const theirs = stranger.fields(read, { label: "theirs" });
      return call(read.url, { headers: joined(theirs, fields) });
    });
    await passes(() =>
      call(read.url, { headers: joined(orders.fields(read), ordersNext.fields(read, { label: "next" })) }),
    );
  });

  test("with `dpop` a signature beside the token is not looked at: it is the provider's", async () => {
    const caller = new TestCaller(bed.feed, "orders", now);
    await passes(() => caller.send(read.url, { headers: stranger.fields(read) }));
    assert.ok(upstream.seen.at(-1)?.headers["signature"] !== undefined);
  });

  test("a 401 says what to sign, and a nonce of this gateway with it", async () => {
    const { headers } = await refused("credentials-missing", () => call(read.url));
    assert.equal(headers["accept-signature"], `sig=("@method" "@target-uri");created;nonce="${headers["dpop-nonce"]}"`);
  });
});

/** Two signatures in one pair of fields. */
function joined(a: Record<string, string>, b: Record<string, string>): Record<string, string> {
  return {
    ...a,
    "signature-input": `${a["signature-input"]}, ${b["signature-input"]}`,
    signature: `${a["signature"]}, ${b["signature"]}`,
  };
}

describe("who and where", () => {
  test("an integration that does not accept signatures says so to the caller it now knows", async () => {
    later();
    const answer = await portal.send(read);
    assert.deepEqual([answer.status, answer.code], [403, "proof-not-accepted"]);
  });

  test("attack: a key that nobody has, another system's key under this name, another key's octets", async () => {
    await refused("signature-key-unknown", () => stranger.send(read));
    await refused("signature-invalid", () => stranger.send(read, { keyid: orders.key.keyid }));
    await refused("signature-algorithm", () =>
      portal.send(read, { keyid: orders.key.keyid, parameters: ';alg="ecdsa-p256-sha256"' }),
    );
  });

  test("attack: signatures of two systems are nobody's", async () => {
    await refused("identity-conflict", () =>
      call(read.url, { headers: joined(orders.fields(read), portal.fields(read, { label: "b" })) }),
    );
  });

  test("attack: a second signature of the same system that does not hold spoils the first", async () => {
    const bad = { label: "b", octets: (octets: Buffer) => Buffer.from(octets.map((one) => one ^ 1)) };
    await refused("signature-invalid", () =>
      call(read.url, { headers: joined(orders.fields(read), ordersNext.fields(read, bad)) }),
    );
  });

  test("attack: signed for the authority of another gateway, whatever Host it is sent with", async () => {
    const there = { url: read.url.replace("127.0.0.1", "staging.example") };
    const host = new URL(there.url).host;
    await refused("signature-invalid", () => call(read.url, { headers: orders.fields(there) }));
    await refused("signature-invalid", () => call(read.url, { headers: { ...orders.fields(there), host } }));
  });
});

describe("what is signed", () => {
  test("attack: another path, query, method or content than was signed", async () => {
    await refused("signature-invalid", () => tampered(read, { url: `${read.url}2` }));
    await refused("signature-invalid", () => tampered(read, { url: `${read.url}?admin=1` }));
    const asked = { url: `${read.url}?a=1` };
    await refused("signature-invalid", () => tampered(asked, { url: `${read.url}?a=2` }));
    await refused("signature-invalid", () => tampered(asked, { url: read.url }));
    await refused("signature-invalid", () => tampered(read, { method: "DELETE" }));
  });

  test("attack: a query put behind a request whose signature covers none", async () => {
    const components = ['"@method"', '"@authority"', '"@path"'];
    await refused("signature-components", () => tampered(read, { url: `${read.url}?a=1` }, { components }));
  });

  test("attack: the method, the target, the authority or the path left open", async () => {
    for (const components of [
      ['"@target-uri"'],
      ['"@method"'],
      ['"@method"', '"@path"'],
      ['"@method"', '"@authority"'],
      ['"@method";sf', '"@target-uri"'],
      [],
    ])
      await refused("signature-components", () => signed({ components }));
  });

  test("attack: content without a digest, with one that is not signed, with one of another algorithm", async () => {
    const components = ['"@method"', '"@target-uri"'];
    await refused("signature-components", () => orders.send(create, { components }));
    const { "content-digest": _, ...bare } = orders.fields(create, { components });
    await refused("signature-components", () =>
      call(create.url, { ...create, headers: { ...create.headers, ...bare } }),
    );
    for (const field of ["md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", "sha-256=:AAAA:", "x"])
      await refused("signature-components", () => {
        const fields = orders.fields(create, { signed: { "content-digest": field } });
        return call(create.url, { ...create, headers: { ...create.headers, ...fields, "content-digest": field } });
      });
    // A member of the field is not the field.
    await refused("signature-components", () =>
      orders.send(create, { components: [...components, '"content-digest";key="sha-256"'] }),
    );
  });

  test("attack: content that came after the signature, small or large, never ends at the provider", async () => {
    later();
    const reached = upstream.seen.length;
    const other = await tampered(create, { body: '{"amount":9,"customer":"evil"}' });
    assert.deepEqual([other.status, other.code, upstream.seen.length], [400, "content-digest", reached]);
    later();
    // The head of a long one may have left; its end never does.
    const bytes = Buffer.alloc(200_000, 7);
    bytes[199_999] = 8;
    const long = await tampered(upload, { body: bytes });
    assert.deepEqual([long.status, long.code], [400, "content-digest"]);
    assert.equal(
      upstream.seen.slice(reached).some(({ body }) => body.length >= 200_000),
      false,
    );
    later();
    const short = await tampered({ ...upload, body: "%PDF" }, { body: "%PDG" });
    assert.deepEqual([short.status, short.code], [400, "content-digest"]);
    assert.equal(
      upstream.seen.slice(reached).some(({ body }) => body === "%PDG"),
      false,
    );
  });

  test("attack: a digest of some content over a request that brings none", async () => {
    await refused("signature-components", () => {
      const headers = { "content-digest": digestOf(json) };
      return orders.send({ ...read, headers }, { components: ['"@method"', '"@target-uri"', '"content-digest"'] });
    });
  });

  test("attack: a field that the system's rule covers is sent without being signed; one that is not sent need not be", async () => {
    await bed.publish(estate({ covers: ["x-tenant"] }));
    try {
      await refused("signature-components", () => orders.send({ ...read, headers: { "x-tenant": "a" } }));
      const components = ['"@method"', '"@target-uri"', '"x-tenant"'];
      const named = { ...read, headers: { "x-tenant": "a" } };
      await passes(() => orders.send(named, { components }));
      await refused("signature-invalid", () => tampered(named, { headers: { "x-tenant": "b" } }, { components }));
      await passes(() => orders.send(read));
    } finally {
      await bed.publish(estate());
    }
  });

  test("attack: a covered field sent twice is another value, and one that is covered and absent is none", async () => {
    const components = ['"@method"', '"@target-uri"', '"x-a"'];
    await refused("signature-invalid", () =>
      tampered({ ...read, headers: { "x-a": "1" } }, { headers: { "x-a": ["1", "2"] } }, { components }),
    );
    await refused("signature-components", () => signed({ components }));
  });

  test("attack: parameters in another order than was signed, or one more", async () => {
    const fields = orders.fields(read);
    const [, created, keyid] = /(;created=\d+)(;keyid="[^"]+")/.exec(fields["signature-input"] ?? "") ?? [];
    const input = `sig1=("@method" "@target-uri")${keyid}${created}`;
    await refused("signature-invalid", () => call(read.url, { headers: { ...fields, "signature-input": input } }));
    await refused("signature-invalid", () =>
      call(read.url, { headers: { ...fields, "signature-input": `${fields["signature-input"]};expires=99999999999` } }),
    );
    const swapped = (fields["signature-input"] ?? "").replace('"@method" "@target-uri"', '"@target-uri" "@method"');
    await refused("signature-invalid", () => call(read.url, { headers: { ...fields, "signature-input": swapped } }));
  });

  test("attack: `alg` names another algorithm than the key's, signed or not", async () => {
    for (const alg of ["hmac-sha256", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "none", ""])
      await refused("signature-algorithm", () => signed({ parameters: `;alg="${alg}"` }));
  });
});

describe("form", () => {
  test("attack: a label, a parameter or a component twice; a label on one side alone; values of other types", async () => {
    const fields = orders.fields(read);
    const { "signature-input": input = "", signature = "" } = fields;
    const malformed: [string, string][] = [
      [`${input}, ${input}`, signature],
      [input, `${signature}, ${signature}`],
      [`${input};created=1`, signature],
      [input, "sig2=:AAAA:"],
      [input, `${signature}, sig2=:AAAA:`],
      [input, "sig1"],
      [input, 'sig1="AAAA"'],
      ["sig1", signature],
      ["sig1=1", signature],
      [`${input.replace(/created=\d+/, 'created="1"')}`, signature],
      [`${input.replace(/created=\d+/, "created=-5")}`, signature],
      [`${input.replace(/keyid="[^"]+"/, "keyid=orders-2026")}`, signature],
      [`${input};nonce=:AAAA:`, signature],
      ["(", signature],
      ["", ""],
      [input, "sig1=:AA=A:"],
    ];
    for (const [one, two] of malformed)
      await refused(one === "" ? "signature-key-unknown" : "signature-malformed", () =>
        call(read.url, { headers: { ...fields, "signature-input": one, signature: two } }),
      );
    await refused("signature-components", () => signed({ components: ['"@method"', '"@target-uri"', '"@method"'] }));
    await refused("signature-key-unknown", () => signed({ keyid: null }));
    await refused("signature-key-unknown", () => signed({ created: null }));
  });

  test("attack: more signatures, more components or longer texts than are taken", async () => {
    const many = [..."abcde"].map((label) => orders.fields(read, { label })).reduce(joined);
    await refused("signature-malformed", () => call(read.url, { headers: many }));
    const components = ['"@method"', '"@target-uri"', ...Array.from({ length: 63 }, (_, i) => `"x-${i}"`)];
    await refused("signature-malformed", () => signed({ components }));
    await refused("signature-malformed", () => signed({ parameters: `;nonce="${"n".repeat(257)}"` }));
    const huge = `sig1=(${'"a" '.repeat(4_000)})`;
    await refused("signature-malformed", () =>
      call(read.url, { headers: { ...orders.fields(read), "signature-input": huge } }),
    );
  });

  test("attack: a folded field line is refused before anybody looks at a signature", async () => {
    later();
    const fields = orders.fields(read);
    const at = new URL(read.url);
    const folded = String(fields["signature-input"]).replace(";created", "\r\n ;created");
    const answer = await sendRaw(
      read.url,
      `GET ${at.pathname} HTTP/1.1\r\nHost: ${at.host}\r\nSignature-Input: ${folded}\r\nSignature: ${fields["signature"]}\r\n\r\n`,
    );
    assert.deepEqual(answer.statuses, [400]);
  });

  test("attack: the fields come as two lines each, which are one dictionary", async () => {
    later();
    const a = orders.fields(read);
    const b = stranger.fields(read, { label: "b" });
    const answer = await call(read.url, {
      headers: {
        "signature-input": [a["signature-input"] ?? "", b["signature-input"] ?? ""],
        signature: [a["signature"] ?? "", b["signature"] ?? ""],
      },
    });
    assert.equal(answer.status, 200, answer.text);
  });
});

describe("time and repeats", () => {
  const at = (seconds: number) => Math.floor(clock.now() / 1000) + seconds;

  test("created within a minute before and five seconds after our clock; expires not yet", async () => {
    // Short of a minute by what a busy machine takes.
    await passes(() => signed({ created: at(-50) }));
    await passes(() => signed({ created: at(4) }));
    await passes(() => signed({ parameters: `;expires=${at(30)}` }));
    await refused("signature-expired", () => signed({ created: at(-62) }));
    await refused("signature-expired", () => signed({ created: at(7) }));
    await refused("signature-expired", () => signed({ parameters: `;expires=${at(-1)}` }));
  });

  test("attack: the same request again, at once, later, and under another label or with another line-up of its fields", async () => {
    later();
    const fields = orders.fields(create);
    const send = (changed = fields) => call(create.url, { ...create, headers: { ...create.headers, ...changed } });
    assert.equal((await send()).status, 200);
    await refused("signature-replayed", () => send());
    later(40);
    await refused("signature-replayed", () => send());
    const relabelled = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, value.replace("sig1=", "other=")]),
    );
    await refused("signature-replayed", () => send(relabelled));
  });

  test("attack: the mirrored signature of ECDSA, which holds as well, is the same request", async () => {
    later();
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const mirror = (octets: Buffer): Buffer => {
      const s = order - BigInt(`0x${octets.subarray(32).toString("hex")}`);
      return Buffer.concat([octets.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, "0"), "hex")]);
    };
    const fields = ordersNext.fields(read);
    assert.equal((await call(read.url, { headers: fields })).status, 200);
    const octets = Buffer.from(/:(.*):/.exec(fields["signature"] ?? "")?.[1] ?? "", "base64");
    const mirrored = `sig1=:${mirror(octets).toString("base64")}:`;
    await refused("signature-replayed", () => call(read.url, { headers: { ...fields, signature: mirrored } }));
  });

  test("of any number of equal requests at once exactly one passes", async () => {
    later();
    const fields = orders.fields(read);
    const answers = await Promise.all(Array.from({ length: 12 }, () => call(read.url, { headers: fields })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array<number>(11).fill(401)]);
  });

  test("two requests that are alike in one second differ by their nonce", async () => {
    later();
    for (const nonce of ["a", "b"])
      assert.equal((await signed({ parameters: `;nonce="${nonce}"` })).status, 200, nonce);
  });

  test("where a nonce of the gateway is wanted, none and any other are refused, and the answer names the next", async () => {
    await bed.publish(estate({ nonce: "gateway" }));
    try {
      await refused("signature-nonce", () => signed());
      const { headers } = await refused("signature-nonce", () => signed({ parameters: ';nonce="mine"' }));
      const nonce = /nonce="([^"]+)"/.exec(String(headers["accept-signature"]))?.[1] ?? "";
      await passes(() => signed({ parameters: `;nonce="${nonce}"` }));
    } finally {
      await bed.publish(estate());
    }
  });

  test("attack: a signature of before the gateway began, which another process may have seen, is refused; a nonce of this one helps", async () => {
    const fresh = await startTestGateway({
      estate: estate(),
      openLog: openTestLog,
      clock,
      changes: { observers: [{ crossing: remember }] },
    });
    try {
      const url = `${fresh.addresses[0]?.url}/billing/v1/invoices/1`;
      const answer = await orders.send({ url });
      assert.deepEqual([answer.status, lastCode], [401, "signature-nonce"]);
      const parameters = `;nonce="${answer.headers["dpop-nonce"]}"`;
      assert.equal((await orders.send({ url }, { parameters })).status, 200);
    } finally {
      await fresh.close();
    }
  });

  test("a key that is taken out opens nothing from then on", async () => {
    await bed.publish(estate({ keys: [ordersNext.key] }));
    try {
      await refused("signature-key-unknown", () => signed());
      await passes(() => ordersNext.send(read));
    } finally {
      await bed.publish(estate());
    }
  });
});

/** An answer that goes on; resolves to what came of it when somebody ended it. */
async function streamed(send: () => Promise<Answer>): Promise<{ readonly over: Promise<string> }> {
  let begun: () => void = () => {};
  const seen = new Promise<void>((resolve) => {
    begun = resolve;
  });
  upstream.answer = (_request, response) => {
    upstream.answer = null;
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    begun();
  };
  const over = send().then(
    ({ status }) => `whole ${status}`,
    () => "cut",
  );
  await seen;
  return { over };
}

describe("streams that a signature opened", () => {
  test("it goes on under a snapshot with the same key, and is cut when the key is gone", async () => {
    later();
    const { over } = await streamed(() => signed());
    await bed.publish(estate({ covers: ["x-other"] }));
    assert.equal(
      await Promise.race([over, signed({ parameters: ';nonce="meanwhile"' }).then(({ status }) => status)]),
      200,
    );
    await bed.publish(estate({ keys: [ordersNext.key] }));
    assert.equal(await over, "cut");
    await bed.publish(estate());
  });

  test("attack: a stream is kept open, to be read long after the request was signed: it ends after five minutes, or with `expires`", async () => {
    later();
    const soon = Math.floor(now() / 1_000) + 30;
    const short = await streamed(() => signed({ parameters: `;expires=${soon}` }));
    lastCode = undefined;
    later(31);
    assert.equal(await short.over, "cut");
    // Its caller sees the cut before the crossing is over.
    await until(() => lastCode === "signature-expired", "the record of its end");
    later();
    const { over } = await streamed(() => signed());
    later(295);
    const meanwhile = signed({ parameters: ';nonce="late"' }).then(({ status }) => status);
    assert.equal(await Promise.race([over, meanwhile]), 200);
    lastCode = undefined;
    later(6);
    assert.equal(await over, "cut");
    await until(() => lastCode === "signature-expired", "the record of its end");
  });
});

describe("beside a certificate", () => {
  const workloads = newTestCa("workloads");
  const ofOrders = issueTestLeaf(workloads, { uri: ordersUri });
  const ofPortal = issueTestLeaf(workloads, { uri: portalUri });
  let secured: TestGateway;
  let url: string;

  before(async () => {
    const plain = estate();
    const integrations = plain.integrations.map((one) => ({ ...one, proof: ["signature", "mtls"] as const }));
    secured = await startTestGateway({
      estate: withCertificates({ ...plain, integrations }, workloads),
      openLog: openTestLog,
      clock,
      listeners: [tlsListener(workloads)],
      changes: { observers: [{ crossing: remember }] },
    });
    url = `${secured.addresses[0]?.url}/billing/v1/invoices/1`;
    later(10);
    secured.feed.heartbeat();
  });
  after(() => secured?.close());

  const send = async (
    pair: KeyedCertificate,
    fields: Readonly<Record<string, string>>,
  ): Promise<{ status: number; proof: string | null | undefined; code: string | undefined }> => {
    const tls = { ca: workloads.certificatePem, cert: pair.cert, key: pair.key };
    const port = secured.addresses[0]?.port;
    const { status, id } = await call(`https://127.0.0.1:${port}/billing/v1/invoices/1`, { headers: fields, tls });
    const [leaf] = await secured.leaves(id);
    return { status, proof: leaf?.t === "crossing" ? leaf.proof : undefined, code: lastCode };
  };
  const fieldsOf = (signer: TestSigner, changes: SignatureChanges = {}) => {
    later();
    secured.feed.heartbeat();
    return signer.fields({ url }, changes);
  };

  test("both of one system: the signature proves it; a signature of a key nobody has is passed over", async () => {
    const both = await send(ofOrders, fieldsOf(orders));
    assert.deepEqual([both.status, both.proof], [200, "signature"]);
    const passed = await send(ofOrders, fieldsOf(stranger));
    assert.deepEqual([passed.status, passed.proof], [200, "mtls"]);
  });

  test("attack: a certificate of one system beside a signature of another, and a known key's signature that does not hold", async () => {
    const other = await send(ofPortal, fieldsOf(orders));
    assert.deepEqual([other.status, other.code], [401, "identity-conflict"]);
    const broken = await send(ofOrders, fieldsOf(stranger, { keyid: orders.key.keyid }));
    assert.deepEqual([broken.status, broken.code], [401, "signature-invalid"]);
  });
});
