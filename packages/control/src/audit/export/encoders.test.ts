// Each record in each format: valid, verifiable, without anything personal, and with nothing in it that could break out of its frame.
import assert from "node:assert/strict";
import { test } from "node:test";
import { leafMembers } from "@sallyport/protocol/audit/leaf-form.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { findingStepOf } from "../../watch/finding-leaf.ts";
import { ecsDocument } from "./ecs.ts";
import { encodeRecord, exportFormats } from "./encode.ts";
import { leafHashOf, noNames, passes, severities, severityOf } from "./exported-record.ts";
import { ocsfEvent } from "./ocsf.ts";
import { escapeValue, messageBytesMax, syslogFrame } from "./syslog-frame.ts";
import { callerPseudonym, everyLeaf, everyRecord, subjectPseudonym } from "./testing/every-leaf.ts";
import { ocsfErrors } from "./testing/ocsf-schema.ts";

const records = everyRecord();

test("every record is a valid OCSF 1.5 event, of the class the page says", () => {
  const classes = new Set<unknown>();
  for (const record of records) {
    const event = ocsfEvent(record);
    classes.add(event["class_uid"]);
    assert.deepEqual(ocsfErrors(event), [], record.text);
  }
  assert.deepEqual([...classes].sort(), [2004, 3002, 3003, 3004, 6002, 6003]);
});

test("every type of leaf there is goes through every mapping here", () => {
  assert.deepEqual([...new Set(everyLeaf.map(({ t }) => t))].sort(), Object.keys(leafMembers).sort());
});

test("a finding is a Detection Finding: raised, acknowledged and resolved, by the severity and the words of its rule", () => {
  const events = records.flatMap((record) => (/"finding\/token/.test(record.text) ? [ocsfEvent(record)] : []));
  assert.deepEqual(
    events.map((event) => [event["class_uid"], event["activity_id"], event["status_id"], event["is_alert"]]),
    [
      [2004, 1, 1, true],
      [2004, 2, 2, false],
      [2004, 3, 4, false],
    ],
  );
  assert.deepEqual(
    events.map((event) => event["severity_id"]),
    [severities.high, severities.informational, severities.informational],
  );
  const [raised] = events.map(({ finding_info: info }) => info as Readonly<Record<string, unknown>>);
  assert.equal(raised?.["uid"], "fnd-01KAMZZZZZ0000000000000000");
  assert.equal(raised?.["desc"], "A token was presented to a system or exchange it was not issued for.");
  assert.deepEqual(raised?.["analytic"], { uid: "token-audience", name: "token-audience", type_id: 1 });
});

test("attack: a record that names a finding in another form, or reads one, is no detection", () => {
  const admin = records.find(({ leaf }) => leaf.t === "admin") ?? assert.fail();
  for (const [action, object] of [
    ["finding.raise", "finding/token-audience/fnd-1"],
    ["finding.raise", "finding/x/token-audience/fnd-01KAMZZZZZ0000000000000000"],
    ["finding.show", "finding/token-audience/fnd-01KAMZZZZZ0000000000000000"],
    ["constructor", "finding/token-audience/fnd-01KAMZZZZZ0000000000000000"],
  ] as const) {
    const leaf = { ...admin.leaf, action, object } as typeof admin.leaf;
    assert.equal(ocsfEvent({ ...admin, leaf })["class_uid"], 3004, `${action} ${object}`);
  }
});

test("the validator finds what is wrong: a missing, an unknown, a mistyped attribute, a value outside its enumeration, a wrong class", () => {
  const event = ocsfEvent(records[2] ?? assert.fail());
  const { actor: _left, ...without } = event;
  assert.deepEqual(ocsfErrors(without), ["actor is required"]);
  assert.deepEqual(ocsfErrors({ ...event, colour: "red" }), ["colour is no attribute here"]);
  assert.deepEqual(ocsfErrors({ ...event, time: "now" }), ["time is not timestamp"]);
  assert.deepEqual(ocsfErrors({ ...event, severity_id: 7 }), ["severity_id is not one of 0,1,2,3,4,5,6,99"]);
  assert.deepEqual(ocsfErrors({ ...event, actor: {} }), [
    "actor. has none of process, user, invoked_by, session, app_name, app_uid",
  ]);
  assert.equal(ocsfErrors({ ...event, class_uid: 6004 }).length, 1);
  assert.deepEqual(
    ocsfErrors({ ...event, metadata: { ...(event["metadata"] as object), profiles: ["cloud"] } }).includes(
      "there is no profile cloud",
    ),
    true,
  );
});

test("a denial that was carried out is blocked, one that was only observed is allowed and detected", () => {
  const said = (index: number) => {
    const { action_id, disposition_id } = ocsfEvent(records[index] ?? assert.fail()) as {
      action_id?: number;
      disposition_id?: number;
    };
    return [action_id, disposition_id];
  };
  assert.deepEqual(said(2), [1, 1]);
  assert.deepEqual(said(4), [2, 2]);
  assert.deepEqual(said(5), [1, 15]);
});

test("attack: an operation named like a member of every object is no activity of ours", () => {
  const event = ocsfEvent(records[8] ?? assert.fail());
  assert.equal(event["activity_id"], 99);
  assert.equal(event["activity_name"], "constructor");
});

test("every format carries origin, index, the record before and the leaf with its hash, so that the copy can be verified", () => {
  for (const format of exportFormats)
    for (const record of records) {
      const { json } = encodeRecord(record, { format, version: "1.5.0", nameOf: noNames });
      assert.doesNotMatch(json, /[\r\n]/);
      const parsed = JSON.parse(json);
      const place = parsed.unmapped?.sallyport ?? parsed.sallyport;
      assert.deepEqual(place, {
        origin: record.origin,
        index: record.index,
        previous: record.previous,
        leaf_hash: record.leafHash,
      });
      const leaf: string = parsed.raw_data ?? parsed.event?.original ?? parsed.leaf;
      assert.equal(leafHashOf(Buffer.from(leaf)), record.leafHash);
      assert.deepEqual(parseLeaf(Buffer.from(leaf)), record.leaf);
    }
});

test("names are said only where the sink may, and only those it was given", () => {
  const nameOf = (pseudonym: string) => (pseudonym === callerPseudonym ? "orders" : undefined);
  for (const record of records) {
    for (const format of exportFormats) {
      assert.doesNotMatch(encodeRecord(record, { format, version: "1.5.0", nameOf: noNames }).json, /"orders"/);
    }
    const named = encodeRecord(record, { format: "ocsf", version: "1.5.0", nameOf }).json;
    // A Detection Finding has no actor: who looked at it stands in the leaf.
    const isFinding = record.leaf.t === "admin" && findingStepOf(record.leaf) !== null;
    assert.equal(
      named.includes('"orders"'),
      !isFinding && JSON.stringify({ ...record.leaf, address: null, prefix: null }).includes(callerPseudonym),
      record.text,
    );
    assert.deepEqual(ocsfErrors(JSON.parse(named)), []);
  }
  const withSubject = ocsfEvent(records[3] ?? assert.fail(), { nameOf }) as { actor: { user: unknown } };
  assert.deepEqual(withSubject.actor.user, { uid: subjectPseudonym, type_id: 1 });
});

test("an ECS document has the kind, category, type and outcome that dashboards ask for", () => {
  const [, start, allowed, failed, denied] = records.map(
    (record) => ecsDocument(record) as { event: Record<string, unknown>; "@timestamp": string },
  );
  assert.deepEqual(start?.event["category"], ["process"]);
  assert.deepEqual(
    [allowed?.event["category"], allowed?.event["type"], allowed?.event["outcome"]],
    [["api"], ["access", "allowed"], "success"],
  );
  assert.deepEqual([failed?.event["outcome"], failed?.event["reason"]], ["failure", "system-error"]);
  assert.deepEqual(denied?.event["type"], ["access", "denied"]);
  assert.equal(allowed?.["@timestamp"], "2026-11-22T00:00:00.000Z");
});

test("a syslog frame counts its octets, keeps to RFC 5424, and says the place in structured data", () => {
  for (const record of records) {
    const encoded = encodeRecord(record, { format: "leaf", version: "1.5.0", nameOf: noNames });
    const frame = syslogFrame(encoded, { enterprise: 32_473, facility: 13, bare: false });
    const [, length = "", message = ""] = /^([1-9][0-9]*) ([\s\S]*)$/.exec(frame) ?? [];
    assert.equal(Buffer.byteLength(message), Number(length));
    assert.match(
      message,
      /^<1(?:0[0-9]|10)>1 2026-11-22T00:00:00\.000Z gw-1 sallyport - [a-z]+ \[audit@32473 origin="sallyport\.local[^\]]*" idx="[0-9]+"/,
    );
    assert.ok(message.includes(`leaf="${record.leafHash}"`));
    assert.ok(message.length <= messageBytesMax);
  }
});

test("attack: text that would end a syslog value, message or frame is escaped or left out", () => {
  assert.equal(escapeValue('a"] [fake@1 x="\\'), 'a\\"\\] [fake@1 x=\\"\\\\');
  assert.equal(escapeValue("line\n<13>1 - - next\r\u0000\u2028"), "line<13>1 - - next");
  const record = { ...(records[2] ?? assert.fail()), origin: 'x"]\n99 <13>1 forged' };
  const frame = syslogFrame({ record, json: "{}" }, { enterprise: 32_473, facility: 13, bare: false });
  assert.doesNotMatch(frame, /\n/);
  assert.ok(frame.includes('origin="x\\"\\]99 <13>1 forged"'));
});

test("a message beyond what syslog receivers must take leaves out its text, never its place", () => {
  const record = records[2] ?? assert.fail();
  const frame = syslogFrame(
    { record, json: `"${"x".repeat(9_000)}"` },
    { enterprise: 32_473, facility: 13, bare: false },
  );
  assert.ok(frame.length < 2_048);
  assert.match(frame, /idx="2".*omitted="message"\]/);
});

test("a filter lets through what it names: environments, kinds, verdicts, severity", () => {
  const all = { environments: null, kinds: null, verdicts: null, severity: 1 } as const;
  const taken = (filter: Parameters<typeof passes>[1]) => records.filter((record) => passes(record, filter)).length;
  assert.equal(taken(all), everyLeaf.length);
  assert.equal(taken({ ...all, environments: ["staging"] }), 0);
  assert.equal(taken({ ...all, kinds: ["admin"] }), 10);
  assert.equal(taken({ ...all, verdicts: ["deny"], kinds: ["crossing"] }), 3);
  assert.equal(taken({ ...all, verdicts: ["deny"], kinds: ["admin"] }), 10, "what has no verdict passes");
  assert.equal(taken({ ...all, severity: 3 }), records.filter(({ leaf }) => severityOf(leaf) >= 3).length);
  assert.ok(taken({ ...all, severity: 3 }) > 3);
});
