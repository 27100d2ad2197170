// `witnesses` in sallyport.yaml: what is read, what is refused with place and fix, and that a mistake in it takes nothing else along.
import assert from "node:assert/strict";
import { test } from "node:test";
import { environmentsOfRows, rowsOfEstate, witnessesOfRows } from "../estate-rows.ts";
import { witnessChanges } from "../witness-words.ts";
import type { Estate } from "./estate.ts";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

const keys = {
  notary: "witness.notary.example+2b951677+BIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c",
  auditor: "witness.auditor.example+716e015f+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU",
  log: "log.partner.example/main/production/gw-1/gateway/2026+c7dfba3b+AcqTrBcFGHBx1nuDx/8O/oEI6OxFMFdddyaHkzPb2r58",
  releases: "log.partner.example/releases+161f1434+AW56HN0psLeP0Tr0xVmP7/TvKpcWbjym8uT7/M2AUFvx",
} as const;

const load = (text: string) => loadEstateFrom(memoryEstateIo({ "sallyport.yaml": text }, () => Date.UTC(2026, 10, 30)));
const errors = (text: string) =>
  load(text).findings.flatMap(({ severity, line, message }) => (severity === "error" ? [`${line}: ${message}`] : []));

const both = `witnesses:
  quorum: 2
  outside:
    notary:
      url: https://witness.notary.example/
      key: ${keys.notary}
    auditor:
      url: https://witness.auditor.example/c2sp
      key: ${keys.auditor}
  logs:
    partner:
      key: ${keys.log}
      everyYear: true
    releases:
      key: ${keys.releases}
`;

test("witnesses, their quorum and the logs of others are read, in one order, with the defaults of the page", () => {
  const { estate, findings } = load(both);
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error"),
    [],
  );
  assert.deepEqual(estate.witnesses, {
    quorum: 2,
    outside: [
      { id: "auditor", url: "https://witness.auditor.example/c2sp", key: keys.auditor, allowPrivate: false },
      { id: "notary", url: "https://witness.notary.example", key: keys.notary, allowPrivate: false },
    ],
    logs: [
      { id: "partner", key: keys.log, everyYear: true },
      { id: "releases", key: keys.releases, everyYear: false },
    ],
  });
  assert.equal(load("estate: shop\n").estate.witnesses, undefined);
  assert.equal(load("witnesses: {}\n").estate.witnesses?.quorum, "all");
});

test("what cannot be a witness is refused at its line, and takes no other witness and no environment along", () => {
  const refused: readonly (readonly [string, string, RegExp])[] = [
    [keys.notary, keys.releases, /^6: not the verifier key of a witness$/],
    [keys.notary, keys.notary.replace("2b951677", "2b951678"), /^6: not the verifier key of a witness$/],
    ["https://witness.notary.example/", "ftp://witness.notary.example/", /^5: neither http nor https$/],
    ["https://witness.notary.example/", "https://witness.notary.example/?a=b", /^5: a URL with a query or fragment$/],
    ["https://witness.notary.example/", "http://127.0.0.1:9", /^5: the URL leads to a private or loopback address$/],
    ["https://witness.notary.example/", "https://me:pass@witness.notary.example/", /^5: /],
    ["    notary:", "    control:", /^4: `control` is a word of policies$/],
    ["      url: https://witness.notary", "      pin: x\n      url: https://witness.notary", /^5: unknown key `pin`$/],
  ];
  for (const [from, to, why] of refused) {
    const text = both.replace(from, to);
    assert.notEqual(text, both);
    const { estate } = load(text);
    assert.match(errors(text)[0] ?? "", why, to);
    assert.deepEqual(
      estate.witnesses?.outside.map(({ id }) => id),
      ["auditor"],
      to,
    );
    assert.equal(estate.environments[0]?.approval, "none", `an environment was broken by ${to}`);
    assert.match(estate.environments[0]?.broken[0]?.object ?? "", /^witness\//, to);
  }
});

test("attack: one key under two names would meet a quorum of two alone: both are refused", () => {
  const text = both.replace(keys.auditor, keys.notary);
  assert.deepEqual(errors(text), ["6: the key of `auditor` too", "9: the key of `notary` too"]);
  assert.deepEqual(load(text).estate.witnesses?.outside, []);
});

test("two logs of one origin, or one of them in every year of the other, are refused, and `everyYear` needs a year", () => {
  const twice = both.replace(keys.releases, keys.log);
  assert.equal(errors(twice).length, 2);
  assert.deepEqual(load(twice).estate.witnesses?.logs, []);
  const yearless = `${both}      everyYear: true\n`;
  assert.deepEqual(errors(yearless), ["16: the key's name does not end in a year"]);
});

test("a quorum that cannot be read is all of the witnesses, never fewer", () => {
  for (const quorum of ["0", "-1", "1.5", "any", "nine", "9"]) {
    const text = both.replace("quorum: 2", `quorum: ${quorum}`);
    assert.equal(errors(text).length, 1, quorum);
    assert.equal(load(text).estate.witnesses?.quorum, "all", quorum);
    assert.equal(load(text).estate.witnesses?.outside.length, 2, quorum);
  }
});

test("rows give back what was said, several estates together, and make no environment", () => {
  const { estate } = load(both);
  const rows = rowsOfEstate(estate);
  assert.deepEqual(witnessesOfRows(rows), estate.witnesses);
  assert.deepEqual(
    environmentsOfRows(rows).map(({ name }) => name),
    ["production"],
  );
  const other: Estate = {
    ...estate,
    name: "z-other",
    witnesses: { quorum: 1, outside: estate.witnesses?.outside.slice(0, 1) ?? [], logs: [] },
  };
  assert.equal(witnessesOfRows([...rows, ...rowsOfEstate(other)]).quorum, 2, "the larger quorum holds");
  assert.equal(witnessesOfRows([...rows, ...rowsOfEstate(other)]).outside.length, 2);
});

test("attack: a witness's key or URL changed in a file shows in the plan, with both keys", () => {
  const { witnesses } = load(both).estate;
  assert.ok(witnesses !== undefined);
  const [first, ...others] = witnesses.outside;
  assert.ok(first !== undefined);
  const swapped = { ...witnesses, outside: [{ ...first, key: keys.notary }, ...others] };
  const [change] = witnessChanges(witnesses, swapped);
  assert.deepEqual([change?.about, change?.change], ["witness/auditor", "changed"]);
  assert.ok(change?.before?.includes(keys.auditor) && change.after?.includes(keys.notary));
  assert.deepEqual(
    witnessChanges(witnesses, undefined).map(({ about, change: how }) => `${how} ${about}`),
    [
      "removed witness/auditor",
      "removed witness/notary",
      "removed witnessed-log/partner",
      "removed witnessed-log/releases",
      "removed witnesses/quorum",
    ],
  );
  assert.deepEqual(witnessChanges(witnesses, witnesses), []);
  assert.equal(witnessChanges(witnesses, { ...witnesses, quorum: 1 })[0]?.about, "witnesses/quorum");
});
