// Rules about threats at a real gateway: what is refused never reaches the provider, what is in shadow changes nothing but the record, and no value goes
// anywhere (docs/threats.md).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type ThreatsObject, threatRules } from "@sallyport/protocol/snapshot/threat-rule.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "./exchange.ts";
import type { Ended } from "./record/recorder.ts";
import { referenceOf } from "./record/reference.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, type CallOptions, TestCaller } from "./testing/test-caller.ts";
import type { TestOperation } from "./testing/test-estate.ts";

const everyRule = (mode: "block" | "shadow", except: ThreatsObject["except"] = []): ThreatsObject => ({
  block: mode === "block" ? threatRules : [],
  shadow: mode === "shadow" ? threatRules : [],
  except,
});
const json = { content: "json", contentType: "application/json" } as const;
const form = { content: "form", contentType: "application/x-www-form-urlencoded" } as const;
const parts = [{ name: "note", types: [], bytesMax: 4_096, required: false, most: 1 }];
const write = (
  name: string,
  threats: ThreatsObject,
  body: TestOperation["body"] = json,
  changes: TestOperation["changes"] = {},
): TestOperation => ({
  name,
  method: "POST",
  path: `/${name}`,
  ...(body === undefined ? {} : { body }),
  changes: { threats, ...changes },
});

const operations: readonly TestOperation[] = [
  write("blocked", everyRule("block")),
  write("watched", everyRule("shadow")),
  write("watched-large", everyRule("shadow"), json, { bodyBytesMax: 16 * 1024 * 1024 }),
  write("free", everyRule("block", [{ rule: "sql-injection", at: "body:/lines/*/note" }])),
  write("without", { block: threatRules.filter((rule) => rule !== "sql-injection"), shadow: [], except: [] }),
  write("mixed", { block: ["script-injection"], shadow: ["sql-injection"], except: [] }),
  write("form", everyRule("block"), form),
  write("parts", everyRule("block"), { content: "multipart", contentType: "multipart/form-data", parts }),
  write("xml", everyRule("block"), { content: "xml", contentType: "application/xml" }),
  write("zipped", everyRule("block"), { ...json, encoding: "gzip" }),
  write("opaque", everyRule("block"), { content: "opaque", contentType: "text/plain" }),
  write("large", everyRule("block"), json, { bodyBytesMax: 16 * 1024 * 1024 }),
  { name: "unwatched", method: "POST", path: "/unwatched", body: json },
  {
    ...{ name: "find", method: "GET", path: "/find/{id}", changes: { threats: everyRule("block") } },
    parameters: {
      fields: [{ in: "header", name: "x-note", type: "string" }],
      schema: { type: "object" },
      undeclaredQuery: "keep",
    },
  },
];

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let url = "";
let last: Exchange | null = null;
let end: Deny | null = null;

before(async () => {
  upstream = await startCountingUpstream();
  const observed = { mode: { mode: "observe", untilMs: 4e12, reason: "a test" } } as const;
  const granted = operations.map(({ name }) => ({ name }));
  bed = await startTestGateway({
    openLog: openTestLog,
    changes: {
      observers: [
        {
          crossing: (exchange: Exchange, ended: Ended) => {
            last = exchange;
            end = ended.deny;
          },
        },
      ],
    },
    estate: {
      systems: [
        { id: "orders", clients: ["orders"] },
        { id: "billing", url: upstream.url, operations },
        { id: "old", url: upstream.url, operations, changes: observed },
      ],
      integrations: ["billing", "old"].map((to) => ({
        ...{ id: `orders-to-${to}`, from: "orders", to, operations: granted },
        changes: { limits: [{ per: "client", max: 100_000, windowMs: 1_000, burst: 100_000 }] },
      })),
    },
  });
  url = bed.addresses[0]?.url ?? "";
  orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  await orders.learnNonce(`${url}/billing`);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

async function send(target: string, options: CallOptions = {}, system = "billing") {
  const before = upstream.seen.length;
  const answer = await orders.send(`${url}/${system}/${target}`, options);
  return { answer, reached: upstream.seen.length - before };
}

const post = (target: string, body: string | Buffer, type = "application/json", system = "billing") =>
  send(target, { method: "POST", headers: { "content-type": type }, body }, system);

const postJson = (target: string, value: unknown) => post(target, JSON.stringify(value));

function isRefused({ answer, reached }: { answer: Answer; reached: number }, rule: string, at: string): void {
  assert.deepEqual([answer.status, answer.code, reached], [400, "threat-found", 0], answer.text);
  assert.match(
    answer.text,
    new RegExp(`"The rule ${rule} refuses what the request has at ${at.replace(/[*?/]/g, "\\$&")}"`),
  );
}

const passes = ({ answer, reached }: { answer: Answer; reached: number }): void =>
  assert.deepEqual([answer.status, reached], [200, 1], answer.text);

const metric = async (rule: string, mode: string): Promise<number> => {
  const text = await bed.gateway.metricsText();
  return Number(new RegExp(`sallyport_threats_total\\{rule="${rule}",mode="${mode}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
};

/** What is sealed beside the leaf. */
const sealed = (): { readonly threats?: unknown; readonly facts?: Readonly<Record<string, string>> } =>
  JSON.parse(JSON.stringify(referenceOf(last ?? assert.fail("nothing crossed"), end)));

const sql = "x' or 1=1 -- ";

describe("each place of a request is looked at, and named", () => {
  test("attack: in the query, and its nearest allow", async () => {
    isRefused(await send(`find/1?q=${encodeURIComponent(sql)}`), "sql-injection", "query:q");
    passes(await send(`find/1?q=${encodeURIComponent("O'Brien")}`));
  });
  test("attack: in the path", async () => {
    isRefused(await send(`find/${encodeURIComponent("x';waitfor delay '0:0:5'--")}`), "sql-injection", "path:id");
    passes(await send(`find/${encodeURIComponent("it's")}`));
  });
  test("attack: in a declared header field; others are not looked at", async () => {
    isRefused(await send("find/1", { headers: { "x-note": sql } }), "sql-injection", "header:x-note");
    passes(await send("find/1", { headers: { "x-other": sql } }));
  });
  test("attack: deep in JSON", async () => {
    isRefused(
      await postJson("blocked", { lines: [{ note: "ok" }, { note: sql }] }),
      "sql-injection",
      "body:/lines/*/note",
    );
    passes(await postJson("blocked", { lines: [{ note: "ok" }, { note: "select a seat" }] }));
  });
  test("attack: in a form, a part that is a text, and XML", async () => {
    isRefused(
      await post("form", `note=${encodeURIComponent(sql).replaceAll("'", "%27")}`, form.contentType),
      "sql-injection",
      "body:/note",
    );
    passes(await post("form", "note=fine", form.contentType));
    const part = (text: string) => `--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n${text}\r\n--b--\r\n`;
    isRefused(await post("parts", part(sql), "multipart/form-data; boundary=b"), "sql-injection", "body:/note");
    passes(await post("parts", part("fine"), "multipart/form-data; boundary=b"));
    isRefused(
      await post("xml", `<a:o xmlns:a="urn:x"><n>${sql}</n></a:o>`, "application/xml"),
      "sql-injection",
      "body:/o/n",
    );
    isRefused(await post("xml", `<o id="x&#39; or 1=1"/>`, "application/xml"), "sql-injection", "body:/o/@id");
    passes(await post("xml", "<o><n>fine</n></o>", "application/xml"));
  });
  test("attack: folded with gzip", async () => {
    const gzip = (value: unknown) =>
      send("zipped", {
        ...{ method: "POST", headers: { "content-type": "application/json", "content-encoding": "gzip" } },
        body: gzipSync(JSON.stringify(value)),
      });
    isRefused(await gzip({ note: sql }), "sql-injection", "body:/note");
    passes(await gzip({ note: "fine" }));
  });
  test("content that is opaque is not looked at: it passes as it comes", async () => {
    passes(await post("opaque", sql, "text/plain"));
  });
});

describe("ways around", () => {
  test("attack: an escape of JSON hides nothing", async () => {
    isRefused(await post("blocked", '{"n":"x\\u0027 or 1=1"}'), "sql-injection", "body:/n");
  });
  test("attack: the same name twice is no JSON here", async () => {
    const { answer, reached } = await post("blocked", `{"n":"ok","n":"${sql}"}`);
    assert.deepEqual([answer.code, reached], ["body-malformed", 0]);
  });
  test("attack: encoded twice in the query", async () => {
    isRefused(await send("find/1?q=%2527%2520or%25201%253d1"), "double-encoding", "query:q");
  });
  test("attack: UTF-8 in more octets than it needs", async () => {
    const { answer, reached } = await send("find/1?q=%c0%a7%20or%201=1");
    assert.deepEqual([answer.status, reached], [400, 0]);
    isRefused(await send("find/1?q=%25c0%25ae%25c0%25af"), "double-encoding", "query:q");
  });
  test("attack: split over a parameter that is said twice", async () => {
    isRefused(await send("find/1?q=1%20union/*&q=*/select%20pass%20from%20users"), "sql-injection", "query:q");
    passes(await send("find/1?q=red&q=blue"));
  });
  test("attack: parted by a comment or a section of XML", async () => {
    isRefused(
      await post("xml", "<o>1 uni<!-- x -->on sel<![CDATA[ect]]> 1,2</o>", "application/xml"),
      "sql-injection",
      "body:/o",
    );
  });
  test("attack: behind a name that is no name", async () => {
    isRefused(await postJson("blocked", { "' or 1=1 --": 1 }), "sql-injection", "body:/?");
    isRefused(await postJson("blocked", { filter: { $ne: null } }), "nosql-operator", "body:/filter/?");
    isRefused(
      await postJson("blocked", { constructor: { prototype: { a: 1 } } }),
      "prototype-pollution",
      "body:/constructor",
    );
    isRefused(await send("find/1?user[$ne]=x"), "nosql-operator", "query:?");
    passes(await postJson("blocked", { $ref: "#/a", filter: { ne: null } }));
  });
  test("attack: behind as much padding as the bound of the body allows", async () => {
    const padding = "a ".repeat(30_000);
    isRefused(await postJson("large", { a: padding, b: `${padding}${sql}` }), "sql-injection", "body:/b");
  });
  test("attack: more texts than are judged are refused, not let through", async () => {
    const many = Array.from({ length: 70_000 }, () => "a");
    isRefused(await postJson("large", { many, last: sql }), "not-judged", "body:/many/*");
    const long = "a".repeat(1_100_000);
    isRefused(await postJson("large", { long, last: sql }), "not-judged", "body:/long");
  });
});

describe("exceptions", () => {
  test("attack: an exception at one place opens neither another place nor another rule", async () => {
    passes(await postJson("free", { lines: [{ note: sql }] }));
    isRefused(await postJson("free", { lines: [{ other: sql }] }), "sql-injection", "body:/lines/*/other");
    isRefused(await postJson("free", { lines: { note: sql } }), "sql-injection", "body:/lines/note");
    isRefused(await postJson("free", { lines: { "odd name": { note: sql } } }), "sql-injection", "body:/lines/?/note");
    isRefused(await postJson("free", { lines: [{ note: "<script>" }] }), "script-injection", "body:/lines/*/note");
  });
  test("attack: a rule that one operation leaves out holds on another", async () => {
    passes(await postJson("without", { note: sql }));
    isRefused(await postJson("blocked", { note: sql }), "sql-injection", "body:/note");
  });
});

describe("shadow", () => {
  test("attack: what is found in shadow passes, with the same answer, and the record names rule and place", async () => {
    const before = await metric("sql-injection", "shadow");
    const found = await postJson("watched", { note: sql, more: "<script>" });
    passes(found);
    assert.deepEqual(sealed().threats, [
      { rule: "sql-injection", at: "body:/note" },
      { rule: "script-injection", at: "body:/more" },
    ]);
    const [leaf] = await bed.leaves(found.answer.id);
    assert.ok(leaf?.t === "intent" && leaf.verdict === "allow");
    const quiet = await postJson("unwatched", { note: sql });
    assert.deepEqual(
      [found.answer.status, found.answer.text, Object.keys(found.answer.headers)],
      [quiet.answer.status, quiet.answer.text, Object.keys(quiet.answer.headers)],
    );
    assert.equal((await metric("sql-injection", "shadow")) - before, 1);
  });
  test("where nothing is found nothing of it is in the record", async () => {
    passes(await postJson("watched", { note: "fine" }));
    assert.equal(sealed().threats, undefined);
  });
  test("more texts than are judged pass in shadow, and the record says so", async () => {
    passes(await postJson("watched-large", { many: Array.from({ length: 70_000 }, () => "a"), last: sql }));
    assert.deepEqual(sealed().threats, [{ rule: "not-judged", at: "body:/many/*" }]);
  });
  test("a rule in shadow beside one that blocks: the first watches, the second refuses", async () => {
    passes(await postJson("mixed", { note: sql }));
    isRefused(await postJson("mixed", { note: sql, more: "<script>" }), "script-injection", "body:/more");
    assert.deepEqual(sealed().threats, [{ rule: "sql-injection", at: "body:/note" }]);
  });
});

test("under observe what would be refused passes and is counted as what enforcement would have said", async () => {
  const before = await metric("sql-injection", "block");
  const { answer, reached } = await post("blocked", JSON.stringify({ note: sql }), "application/json", "old");
  assert.deepEqual([answer.status, reached], [200, 1]);
  assert.equal(last?.wouldDeny?.code, "threat-found");
  assert.equal((await metric("sql-injection", "block")) - before, 1);
});

test("attack: the value that was found is in no answer, log or metric, nor beside the record", async () => {
  const canary = "canary-4711";
  const { answer } = await postJson("blocked", { [`${canary}' or 1=1`]: `${canary}' or 1=1 --` });
  assert.equal(answer.code, "threat-found");
  const { facts } = sealed();
  assert.deepEqual([facts?.["rule"], facts?.["at"]], ["sql-injection", "body:/?"]);
  assert.doesNotMatch(JSON.stringify(sealed()), /canary/);
  await postJson("watched", { [`${canary}' or 1=1`]: `${canary}' or 1=1 --` });
  assert.equal(Array.isArray(sealed().threats), true);
  assert.doesNotMatch(JSON.stringify(sealed()), /canary/);
  assert.doesNotMatch(answer.text, /canary/);
  assert.doesNotMatch(bed.messages.join("\n"), /canary/);
  assert.doesNotMatch(await bed.gateway.metricsText(), /canary/);
});
