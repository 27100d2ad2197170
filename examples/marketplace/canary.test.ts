import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { filesBelow, needlesOf, searchAll } from "./canary.ts";

const marker = { what: "a customer's name", value: "Zoë-Quorra-7f3a91bc" };
const bytes = Buffer.from(marker.value, "utf8");
const forms: Readonly<Record<string, (bytes: Buffer) => string | Buffer>> = {
  plain: (value) => value,
  hex: (value) => value.toString("hex"),
  "hex in capitals": (value) => value.toString("hex").toUpperCase(),
  base64: (value) => value.toString("base64"),
  base64url: (value) => value.toString("base64url"),
};

for (const [form, encode] of Object.entries(forms)) {
  for (const offset of [0, 1, 2, 3, 17]) {
    test(`a planted value is found as ${form}, ${offset} bytes into what was encoded`, () => {
      const around = Buffer.concat([Buffer.alloc(offset, 0xe9), bytes, Buffer.from("…and more")]);
      const place = {
        name: "row",
        bytes: Buffer.concat([Buffer.from("{x:"), Buffer.from(encode(around)), Buffer.from("}")]),
      };
      const { leaks } = searchAll([marker], [place]);
      assert.ok(leaks.length > 0);
      assert.ok(leaks.every(({ what, place }) => what === marker.what && place === "row"));
    });
  }
}

test("a value in base64 whose letters differ from base64url is found in both", () => {
  const value = { what: "v", value: "??>>~~ÿÿÿ??>>~~" };
  for (const form of ["base64", "base64url"] as const) {
    const { leaks } = searchAll([value], [{ name: "x", bytes: Buffer.from(Buffer.from(value.value).toString(form)) }]);
    assert.deepEqual(
      leaks.map((leak) => leak.form),
      [form],
    );
  }
});

test("what was not planted is not found, and neither is half of a value", () => {
  const clean = Buffer.concat([bytes.subarray(0, bytes.length - 1), Buffer.from("-"), Buffer.from("Zoë-Quorra")]);
  assert.deepEqual(searchAll([marker], [{ name: "x", bytes: clean }]).leaks, []);
});

test("a value at the very end of a file is found", () => {
  assert.equal(searchAll([marker], [{ name: "x", bytes }]).leaks.length, 1);
});

test("an exception needs its place and is reported with its reason", () => {
  const exception = { what: marker.what, place: /^keys\//, reason: "it is the key itself" };
  const places = [
    { name: "keys/a", bytes },
    { name: "rows/a", bytes },
  ];
  const report = searchAll([marker], places, [exception]);
  assert.deepEqual(
    report.leaks.map(({ place }) => place),
    ["rows/a"],
  );
  assert.deepEqual(
    report.excepted.map(({ place, reason }) => [place, reason]),
    [["keys/a", "it is the key itself"]],
  );
});

test("a marker too short to mean anything is refused", () => {
  assert.throws(() => needlesOf({ what: "pin", value: "1234" }), /shorter than 12/);
});

test("files are found at any depth", () => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-canary-"));
  try {
    writeFileSync(join(directory, "a"), bytes);
    const { leaks, places } = searchAll([marker], filesBelow(directory, "data"));
    assert.equal(places, 1);
    assert.deepEqual(
      leaks.map(({ place }) => place),
      ["data/a"],
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
