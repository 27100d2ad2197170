import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seededRandom } from "../seal/seeded.test-support.ts";
import { der, derOid, derTag } from "./der.ts";
import { type DistinguishedName, nameAttributesMax, parseName, printName, readName } from "./distinguished-name.ts";
import { oracle } from "./oracle.test-support.ts";

const printable = 0x13;
const attribute = (type: string, value: string | Uint8Array, tag: number = derTag.utf8String) =>
  der(derTag.sequence, derOid(type), der(tag, typeof value === "string" ? Buffer.from(value) : value));
const name = (...relatives: readonly (readonly Uint8Array[])[]) =>
  der(derTag.sequence, ...relatives.map((attributes) => der(derTag.set, ...attributes)));
const cn = "2.5.4.3";
const o = "2.5.4.10";
const ou = "2.5.4.11";
const same = (bytes: Uint8Array, text: string) => printName(readName(bytes)) === printName(parseName(text));
const acme = attribute(o, "Acme");

describe("distinguished names", () => {
  test("a name is the one its RFC 4514 text says, most significant part last", () => {
    const bytes = name([acme], [attribute(ou, "Shop")], [attribute(cn, "orders")]);
    assert.ok(same(bytes, "CN=orders,OU=Shop,O=Acme"));
    assert.equal(printName(readName(bytes)), "CN=orders,OU=Shop,O=Acme");
    assert.ok(same(bytes, "cn=orders,2.5.4.11=Shop,o=Acme"), "types by keyword in any case, or by number");
  });

  test("the string type and the escaping say nothing: the characters do", () => {
    assert.ok(same(name([attribute(cn, "orders", printable)]), "CN=orders"));
    assert.ok(same(name([attribute(cn, "orders")]), "CN=\\6frders"));
    assert.ok(same(name([attribute(o, "Acme, Inc.")]), "O=Acme\\, Inc."));
    assert.ok(same(name([attribute(o, "Acme, Inc.")]), "O=Acme\\2c Inc."));
    assert.ok(same(name([attribute(cn, "Lučić")]), "CN=Lu\\C4\\8Di\\C4\\87"), "RFC 4514 §4");
    assert.ok(same(name([attribute(cn, " #a\\ ")]), "CN=\\ #a\\\\\\ "));
  });

  test("RDN order: the same parts in another order are another name", () => {
    assert.ok(!same(name([attribute(cn, "orders")], [acme]), "CN=orders,O=Acme"));
    assert.ok(!same(name([acme], [attribute(cn, "orders")], [attribute(ou, "Shop")]), "CN=orders,OU=Shop,O=Acme"));
  });

  test("a relative name of several attributes is a set: their order is nothing, splitting them up is another name", () => {
    const both = [attribute(cn, "orders"), attribute(ou, "Shop")];
    assert.ok(same(name([acme], both), "CN=orders+OU=Shop,O=Acme"));
    assert.ok(same(name([acme], [...both].reverse()), "OU=Shop+CN=orders,O=Acme"));
    assert.ok(!same(name([acme], both), "CN=orders,OU=Shop,O=Acme"));
    assert.ok(!same(name([acme], [attribute(cn, "orders")]), "CN=orders+CN=orders,O=Acme"));
  });

  test("DN injection: a value that looks like more of a name is one value", () => {
    assert.ok(!same(name([attribute(cn, "orders,O=Acme")]), "CN=orders,O=Acme"));
    assert.ok(!same(name([acme], [attribute(cn, "orders+OU=Shop")]), "CN=orders+OU=Shop,O=Acme"));
    assert.ok(!same(name([attribute(o, "Acme,CN=orders")]), "CN=orders,O=Acme"));
    assert.equal(printName(readName(name([attribute(cn, "orders,O=Acme")]))), "CN=orders\\,O=Acme");
    assert.ok(!same(name([attribute(cn, "orders\\,O=Acme")]), "CN=orders\\,O=Acme"), "a backslash is a character too");
  });

  test("NUL, control and unseen characters are refused on both sides (CVE-2009-2408)", () => {
    for (const value of ["orders\0.evil", "orders\n", "or\u200bders", "\u202eorders", "orders\u2028", "\ufeff"]) {
      assert.throws(() => readName(name([attribute(cn, value)])), /not seen/, JSON.stringify(value));
      assert.throws(() => parseName(`CN=${value}`), { name: "NameFault" }, JSON.stringify(value));
    }
    assert.throws(() => parseName("CN=orders\\00"), { name: "NameFault" });
    assert.throws(() => readName(name([attribute(cn, "orders\0", printable)])), /alphabet/);
  });

  test("homographs: letters that look the same are other letters, and nothing is folded, composed or trimmed", () => {
    assert.ok(!same(name([attribute(cn, "оrders")]), "CN=orders"), "a Cyrillic о");
    assert.ok(!same(name([attribute(cn, "Orders")]), "CN=orders"));
    assert.ok(!same(name([attribute(cn, "u\u0308ber")]), "CN=\u00fcber"));
    assert.ok(!same(name([attribute(cn, "orders ")]), "CN=orders"));
    assert.ok(!same(name([attribute(cn, "or  ders")]), "CN=or ders"));
  });

  test("string types with several readings, malformed UTF-8, empty parts and too many are refused", () => {
    for (const tag of [0x14, 0x1c, 0x1e])
      assert.throws(() => readName(name([attribute(cn, "orders", tag)])), /string type/);
    assert.throws(() => readName(name([attribute(cn, Uint8Array.of(0xc0, 0x80))])), /UTF-8/);
    assert.throws(() => readName(name([])), /without attributes/);
    assert.throws(() => readName(name([attribute(cn, "")])), /nothing in it/);
    const many = Array.from({ length: 8 }, () => Array.from({ length: 5 }, (_, at) => attribute(ou, `u${at}`)));
    assert.throws(() => readName(name(...many)), /too many/);
    assert.throws(() => parseName(Array.from({ length: nameAttributesMax + 1 }, () => "OU=a").join(",")), {
      name: "NameFault",
    });
  });

  test("a text that is not RFC 4514 is refused with how to write it", () => {
    for (const text of [
      "",
      "orders",
      "CN",
      "CN=",
      "CN=orders, O=Acme",
      "CN =orders",
      "CN= orders",
      "CN=orders ",
      "CN=#0403",
      "FOO=bar",
      "CN=a,,O=b",
      "CN=a+",
      "CN=a;O=b",
      'CN="a"',
      "CN=a<b",
      "CN=\\",
      "CN=\\z",
      "CN=\\C4",
      "3.5=a",
      "2.5.04=a",
      "/C=DE/O=Acme",
    ])
      assert.throws(
        () => parseName(text),
        (fault: unknown) => fault instanceof Error && "fix" in fault,
        text,
      );
  });

  test("property: printing and reading a text give the same name, and different names have different texts", () => {
    const letters = ["a", " ", ",", "+", "=", "\\", "#", '"', "<", ";", "é", "日", "😀"];
    const random = seededRandom(4514);
    const pick = (below: number) => ((random.bytes(1)[0] ?? 0) * 256 + (random.bytes(1)[0] ?? 0)) % below;
    const value = () => Array.from({ length: 1 + pick(4) }, () => letters[pick(letters.length)] ?? "a").join("");
    const types = [cn, o, ou, "1.2.3.4"];
    const some = (): DistinguishedName =>
      readName(
        name(
          ...Array.from({ length: 1 + pick(3) }, () =>
            Array.from({ length: 1 + pick(2) }, () => attribute(types[pick(types.length)] ?? cn, value())),
          ),
        ),
      );
    const texts = new Map<string, string>();
    for (let round = 0; round < 3_000; round++) {
      const made = some();
      const text = printName(made);
      assert.deepEqual(parseName(text), made, text);
      assert.equal(texts.get(text) ?? JSON.stringify(made), JSON.stringify(made), text);
      texts.set(text, JSON.stringify(made));
    }
    assert.ok(texts.size > 2_000);
  });

  test("@peculiar/x509 encodes what we read", () => {
    for (const text of ["CN=orders,O=Acme,C=DE", "CN=orders+OU=Shop,O=Acme\\, Inc."]) {
      const bytes = new Uint8Array(new oracle.Name(text).toArrayBuffer());
      // Its texts are in the order of the DER.
      const reversed = parseName(text).toReversed();
      assert.deepEqual(readName(bytes), reversed);
    }
  });
});
