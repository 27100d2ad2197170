// The witness's texts, its decision and the trust policy, against vectors that another implementation made (vectors/witness.json) and the specifications' words.
import assert from "node:assert/strict";
import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseBase64 } from "./base64.ts";
import {
  addSignatureLines,
  cosignatureLines,
  cosignatureTime,
  parseWitnessKey,
  printWitnessKey,
  signCosignature,
  verifyCosignatures,
} from "./cosignature.ts";
import { type NoteCrypto, type NoteSigner, parseNote, parseVerifierKey, signNote } from "./note.ts";
import { judgeByPolicy, meetsQuorum, parsePolicy } from "./tlog-policy.ts";
import {
  decideContradiction,
  decideSubmission,
  originHash,
  parseSubmission,
  parseTreeSize,
  printSubmission,
  printTreeSize,
  statusOf,
} from "./witness-request.ts";

const sha256 = (data: Uint8Array) => new Uint8Array(createHash("sha256").update(data).digest());
const spki = (raw: Uint8Array) => Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
const crypto: NoteCrypto = {
  sha256,
  verifyEd25519: (key, message, signature) =>
    verify(null, message, createPublicKey({ key: spki(key), format: "der", type: "spki" }), signature),
};
const utf8 = (text: string) => new TextEncoder().encode(text);
const some = <T>(value: T | null | undefined): T => value ?? assert.fail("there is none");

/** The key of 32 equal bytes, as the vectors' keys are. */
function seeded(name: string, byte: number): NoteSigner {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, byte)]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));
  return { name, publicKey, sign: (message) => new Uint8Array(sign(null, message, key)) };
}

interface Vectors {
  readonly log: string;
  readonly witnesses: readonly [string, string, string];
  readonly time: number;
  readonly cosigned: string;
  readonly submissions: readonly {
    readonly name: string;
    readonly last: { readonly size: number; readonly root: string };
    readonly request: string;
    readonly status: number;
    readonly body: string;
  }[];
}
const vectors: Vectors = JSON.parse(readFileSync(new URL("../../../../vectors/witness.json", import.meta.url), "utf8"));
const logKey = some(parseVerifierKey(sha256, vectors.log));
const [w1, w2, w3] = vectors.witnesses.map((vkey) => some(parseWitnessKey(sha256, vkey)));
const w1Signer = seeded("witness.example/w1", 4);
const line = (note: string, name: string) => some(note.split("\n").find((text) => text.startsWith(`\u2014 ${name} `)));
/** The note with its log's signature alone. */
const uncosigned = `${vectors.cosigned.split("\n").slice(0, 5).join("\n")}\n`;

for (const { name, last, request, status, body } of vectors.submissions) {
  test(`a witness answers ${status} to: ${name}`, () => {
    const submission = parseSubmission(request);
    if (submission === null) {
      assert.equal(status, 400);
      return;
    }
    assert.equal(printSubmission(submission), request, "parse, then print, and get the same bytes");
    const keys = submission.checkpoint.origin === logKey.name ? [logKey] : null;
    const kept = { size: last.size, root: some(parseBase64(last.root)) };
    const verdict = decideSubmission(crypto, submission, { keys, last: kept });
    assert.equal(statusOf(verdict), status);
    if (verdict.kind === "conflict") assert.equal(printTreeSize(verdict.size), body);
    if (status === 200) assert.equal(signCosignature(sha256, submission.body, vectors.time, w1Signer), body);
  });
}

test("cosignatures of another implementation verify, each with its time, and ours are the same bytes", () => {
  const verdict = verifyCosignatures(crypto, vectors.cosigned, [some(w1), some(w2), some(w3)]);
  assert.ok(verdict.kind === "ok");
  assert.deepEqual(
    verdict.cosigned.map(({ witness, time }) => [witness.name, time - vectors.time]),
    [
      ["witness.example/w1", 0],
      ["witness.example/w2", 1],
      ["witness.example/w3", 2],
    ],
  );
  const body = some(parseNote(uncosigned)).text;
  assert.equal(signCosignature(sha256, body, vectors.time, w1Signer), `${line(vectors.cosigned, w1Signer.name)}\n`);
  assert.equal(printWitnessKey(sha256, w1Signer.name, w1Signer.publicKey), vectors.witnesses[0]);
});

test("the cosignature of the specification's example was made on 20 March 2023, and its key id is not its time", () => {
  const bytes = some(
    parseBase64(
      "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==",
    ),
  );
  assert.equal(cosignatureTime(bytes.subarray(4)), 0x641850cb);
});

test("attack: a cosignature moved to another checkpoint, another time or another witness refuses the note", () => {
  const other = signNote(
    sha256,
    "log.example/2026\n601\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    seeded(logKey.name, 1),
  );
  const known = [some(w1), some(w2)];
  const moved = `${other}${line(vectors.cosigned, w1Signer.name)}\n`;
  assert.deepEqual(verifyCosignatures(crypto, moved, known), { kind: "refused", why: "bad-signature" });
  const bytes = some(parseNote(vectors.cosigned)?.signatures[1]);
  const later = Uint8Array.from([...bytes.keyId, ...bytes.signature]);
  later[11] = some(later[11]) + 1;
  const dated = `${uncosigned}\u2014 ${w1Signer.name} ${Buffer.from(later).toString("base64")}\n`;
  assert.deepEqual(verifyCosignatures(crypto, dated, known), { kind: "refused", why: "bad-signature" });
  const body = some(parseNote(uncosigned)).text;
  const thief = signCosignature(sha256, body, 5, { ...w1Signer, sign: seeded("x", 9).sign });
  assert.deepEqual(verifyCosignatures(crypto, uncosigned + thief, known), { kind: "refused", why: "bad-signature" });
});

test("attack: a cosignature without a time, or with one no clock reaches, refuses the note", () => {
  const body = some(parseNote(uncosigned)).text;
  const sample = some(parseNote(uncosigned + signCosignature(sha256, body, 1, w1Signer))?.signatures[1]);
  for (const time of [0n, 2n ** 63n]) {
    const message = utf8(`cosignature/v1\ntime ${time}\n${body}`);
    const bytes = new Uint8Array(76);
    bytes.set(sample.keyId);
    new DataView(bytes.buffer).setBigUint64(4, time);
    bytes.set(w1Signer.sign(message), 12);
    const note = `${uncosigned}\u2014 ${w1Signer.name} ${Buffer.from(bytes).toString("base64")}\n`;
    assert.deepEqual(verifyCosignatures(crypto, note, [some(w1)]), { kind: "refused", why: "bad-signature" });
  }
  assert.throws(() => signCosignature(sha256, body, 0, w1Signer), TypeError);
});

test("attack: a plain note signature by a witness's key is no cosignature, and a log key is no witness key", () => {
  const plain = signNote(sha256, some(parseNote(uncosigned)).text, w1Signer).split("\n\n")[1];
  assert.deepEqual(verifyCosignatures(crypto, `${uncosigned}${plain}`, [some(w1)]), {
    kind: "ok",
    body: some(parseNote(uncosigned)).text,
    cosigned: [],
  });
  assert.equal(parseWitnessKey(sha256, vectors.log), null);
  assert.equal(parseVerifierKey(sha256, vectors.witnesses[0]), null);
});

test("16 cosignatures are read, unknown ones are ignored, and the newer of one witness takes the older one's place", () => {
  const body = some(parseNote(uncosigned)).text;
  let note = uncosigned;
  for (let i = 0; i < 15; i++) {
    const signer = seeded(`witness.example/n${i}`, 20 + i);
    note = some(addSignatureLines(note, signCosignature(sha256, body, 100 + i, signer)));
  }
  note = some(addSignatureLines(note, signCosignature(sha256, body, 7, w1Signer)));
  note = some(addSignatureLines(note, signCosignature(sha256, body, 8, w1Signer)));
  const verdict = verifyCosignatures(crypto, note, [some(w1)]);
  assert.equal(parseNote(note)?.signatures.length, 17);
  assert.ok(verdict.kind === "ok");
  assert.deepEqual(verdict.cosigned, [{ witness: w1, time: 8 }]);
});

test("of an answer only the lines of the witness that was asked are taken, and only when they verify", () => {
  const [own, other] = [line(vectors.cosigned, w1Signer.name), line(vectors.cosigned, "witness.example/w2")];
  const asked = { note: uncosigned, witness: some(w1) };
  assert.equal(cosignatureLines(crypto, { ...asked, lines: `${other}\n${own}\n` }), `${own}\n`);
  for (const lines of ["", own, `${other}\n`, `${own}\n\n`, "a page of a proxy\n", `${own.slice(0, -8)}AAAAAA==\n`])
    assert.equal(cosignatureLines(crypto, { ...asked, lines }), null, lines);
});

test("a size is one number and a newline, and a log is named by the hash of its origin", () => {
  assert.equal(parseTreeSize("20852014\n"), 20_852_014);
  for (const text of ["", "1", "1\n\n", "01\n", "-1\n", "1 \n", "99999999999999999\n"])
    assert.equal(parseTreeSize(text), null);
  assert.equal(
    originHash(sha256, "example.com/behind-the-sofa"),
    createHash("sha256").update("example.com/behind-the-sofa").digest("hex"),
  );
});

test("64 proof lines are a bad request, 63 are read", () => {
  const request = (lines: number) => `old 1\n${`${"A".repeat(43)}=\n`.repeat(lines)}\n${uncosigned}`;
  assert.notEqual(parseSubmission(request(63)), null);
  assert.equal(parseSubmission(request(64)), null);
});

test("two checkpoints of one log contradict each other when it shrank or one size has two roots", () => {
  const [a, b] = [sha256(utf8("a")), sha256(utf8("b"))];
  assert.equal(decideContradiction({ size: 3, root: a }, { size: 2, root: b }), "rolled-back");
  assert.equal(decideContradiction({ size: 3, root: a }, { size: 3, root: b }), "forked");
  assert.equal(decideContradiction({ size: 3, root: a }, { size: 3, root: a }), null);
  assert.equal(decideContradiction({ size: 3, root: a }, { size: 4, root: b }), null);
});

const spec = (quorum = "X-and-Y") => {
  const keys = Array.from({ length: 6 }, (_, i) => seeded(`w${i}`, 40 + i));
  const vkey = (i: number) => printWitnessKey(sha256, `w${i}`, some(keys[i]).publicKey);
  return `log ${vectors.log}

witness X1 ${vkey(0)}
witness X2 ${vkey(1)} https://witness.example/x2
witness X3 ${vkey(2)}
group X-witnesses 2 X1 X2 X3

# of another organisation
witness Y1 ${vkey(3)}
\t witness Y2   ${vkey(4)}\t
witness Y3 ${vkey(5)}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum ${quorum}
`;
};
const parse = (text: string) => parsePolicy(sha256, Buffer.from(text));
const policyOf = (text: string) => {
  const parsed = parse(text);
  assert.ok(parsed.kind === "ok", parsed.kind === "malformed" ? `line ${parsed.line}: ${parsed.why}` : "");
  return parsed.policy;
};

test("the specification's example policy asks for two of X and one of Y", () => {
  const policy = policyOf(spec());
  for (const [cosigned, meets] of [
    ["X1 X2 Y3", true],
    ["X1 X2 X3 Y1 Y2 Y3", true],
    ["X1 X2 X3", false],
    ["X1 Y1 Y2 Y3", false],
    ["X-and-Y", false],
    ["X-witnesses Y-witnesses", false],
    ["", false],
  ] as const) {
    assert.equal(meetsQuorum(policy, new Set(cosigned.split(" "))), meets, cosigned);
  }
  assert.equal(policy.witnesses.get("X2")?.url, "https://witness.example/x2");
  assert.ok(meetsQuorum(policyOf(spec("none")), new Set()));
  assert.ok(meetsQuorum(policyOf(spec("Y2")), new Set(["Y2"])));
});

test("a policy that is not exactly one is refused, with its line", () => {
  const good = spec();
  const cases: readonly (readonly [string, number])[] = [
    [good.slice(0, -1), 15],
    [good.replace("quorum X-and-Y\n", ""), 14],
    [`${good}quorum none\n`, 16],
    [good.replace("quorum X-and-Y", "quorum Z"), 15],
    [good.replace("group X-witnesses 2", "group X-witnesses 4"), 6],
    [good.replace("group X-witnesses 2", "group X-witnesses 0"), 6],
    [good.replace("group X-witnesses 2", "group X-witnesses 02"), 6],
    [good.replace("2 X1 X2 X3", "2 X1 X2 X2"), 6],
    [good.replace("2 X1 X2 X3", "2 X1 X2 Y1"), 6],
    [good.replace("any Y1 Y2 Y3", "any Y1 Y2 X1"), 12],
    [good.replace("all X-witnesses", "all none"), 14],
    [good.replace("witness X1", "witness none"), 3],
    [good.replace("witness X2", "witness X1"), 4],
    [good.replace("group Y-witnesses", "group X-witnesses"), 12],
    [good.replace(`log ${vectors.log}`, `log ${vectors.witnesses[0]}`), 1],
    [good.replace(/witness X1 \S+/, `witness X1 ${vectors.log}`), 3],
    [good.replace("\n\n", `\nlog ${vectors.log}\n`), 2],
    [good.replace("witness X3", "Witness X3"), 5],
    [good.replace("# of", "\u0007# of"), 8],
    [good.replace("quorum X-and-Y", "quorum X-and-Y extra"), 15],
    [good.replace("\n\n", "\r\n\n"), 1],
  ];
  for (const [text, at] of cases) {
    const parsed = parse(text);
    assert.deepEqual([parsed.kind, parsed.kind === "malformed" ? parsed.line : 0], ["malformed", at], text);
  }
  const twice = good.replace(/witness X2 \S+/, some(/witness X1 \S+/.exec(good)?.[0]).replace("X1", "X2"));
  assert.equal(parse(twice).kind, "malformed");
});

test("names of a policy are octets: K and the Kelvin sign are two", () => {
  const text = spec("none")
    .replace("witness X1", "witness K")
    .replace("witness X2", "witness \u212a")
    .replace("2 X1 X2 X3", "any K X3");
  assert.equal(policyOf(text).witnesses.size, 6);
});

test("a checkpoint is judged by its log's key, its own origin, and the quorum", () => {
  const [a, b] = vectors.witnesses;
  const base = `log ${vectors.log}\nwitness a ${a}\nwitness b ${b}\ngroup both all a b\nquorum both\n`;
  const policy = policyOf(base);
  const now = vectors.time * 1_000;
  const whole = judgeByPolicy(crypto, policy, vectors.cosigned, { now });
  assert.ok(whole.kind === "ok");
  assert.deepEqual([whole.checkpoint.size, [...whole.cosigned.keys()]], [600, ["a", "b"]]);
  const one = `${uncosigned}${line(vectors.cosigned, "witness.example/w1")}\n`;
  const lacking = judgeByPolicy(crypto, policy, one, { now });
  assert.deepEqual([lacking.kind, lacking.kind === "refused" ? lacking.why : ""], ["refused", "no-quorum"]);
  assert.deepEqual([...lacking.cosigned.keys()], ["a"]);
  const foreign = signNote(sha256, some(parseNote(uncosigned)).text.replace("2026", "2025"), seeded(logKey.name, 1));
  const none = new Map();
  assert.deepEqual(judgeByPolicy(crypto, policy, foreign, { now }), {
    kind: "refused",
    why: "foreign-origin",
    cosigned: none,
  });
  const unsigned = vectors.cosigned.replace(`${line(vectors.cosigned, logKey.name)}\n`, "");
  assert.deepEqual(judgeByPolicy(crypto, policy, unsigned, { now }), {
    kind: "refused",
    why: "unsigned",
    cosigned: none,
  });
  const logless = policyOf(base.slice(base.indexOf("\n") + 1));
  assert.equal(judgeByPolicy(crypto, logless, vectors.cosigned, { logs: [logKey], now }).kind, "ok");
  assert.deepEqual(judgeByPolicy(crypto, logless, vectors.cosigned, { now }), {
    kind: "refused",
    why: "unsigned",
    cosigned: none,
  });
});
