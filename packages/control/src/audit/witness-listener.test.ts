// Control's witness for strangers, over real sockets and both stores: the answers of another implementation byte for byte, the forms of each, what is
// durable when, whose logs are cosigned, and that neither garbage nor slowness takes anybody's turn.
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, beforeEach, test } from "node:test";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { LogFinding } from "@sallyport/kernel/witness/finding.ts";
import { Witness, type WitnessState } from "@sallyport/kernel/witness/witness.ts";
import { printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { leafHash } from "@sallyport/protocol/audit/merkle.ts";
import { type NoteSigner, printVerifierKey, signNote } from "@sallyport/protocol/audit/note.ts";
import { originHash, printSubmission, submissionCharactersMax } from "@sallyport/protocol/audit/witness-request.ts";
import type { ControlCommands } from "../commands.ts";
import type { WitnessedLogConfig } from "../registry/config/estate.ts";
import { outsideConflicts, witnessForOthers } from "./outside-logs.ts";
import { storedTrees } from "./stored-trees.ts";
import { type PublicWitness, submissionsMax, WitnessListener } from "./witness-listener.ts";

interface Vectors {
  readonly log: string;
  readonly time: number;
  readonly submissions: readonly {
    readonly name: string;
    readonly last: { readonly size: number; readonly root: string };
    readonly request: string;
    readonly status: number;
    readonly body: string;
  }[];
}
const vectors: Vectors = JSON.parse(readFileSync(new URL("../../../../vectors/witness.json", import.meta.url), "utf8"));
const commands = new URL("../commands.ts", import.meta.url);
const now = vectors.time * 1_000;

function keyOf(name: string, seed?: number): NoteSigner {
  const head = Buffer.from("302e020100300506032b657004220420", "hex");
  const privateKey =
    seed === undefined
      ? generateKeyPairSync("ed25519").privateKey
      : createPrivateKey({ key: Buffer.concat([head, Buffer.alloc(32, seed)]), format: "der", type: "pkcs8" });
  const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32));
  return { name, publicKey, sign: (text) => new Uint8Array(sign(null, text, privateKey)) };
}

const opened: WitnessListener[] = [];
after(async () => {
  for (const listener of opened) await listener.close();
});

async function listen(witness: PublicWitness, faults: unknown[] = []): Promise<number> {
  const listener = new WitnessListener({
    host: "127.0.0.1",
    port: 0,
    witness,
    fault: (error) => void faults.push(error),
  });
  opened.push(listener);
  return listener.start();
}

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
}

/** One request of exactly these bytes, on a connection of its own. */
function raw(port: number, ...parts: readonly (string | Uint8Array)[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, "127.0.0.1", () => {
      for (const part of parts) socket.write(part);
    });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("error", reject);
    socket.once("close", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const [head = "", ...rest] = text.split("\r\n\r\n");
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
      resolve({ status, type: /^content-type: (.*)$/im.exec(head)?.[1], body: rest.join("\r\n\r\n") });
    });
  });
}

const post = (port: number, body: string | Uint8Array, path = "/add-checkpoint", method = "POST") => {
  const length = Buffer.byteLength(body);
  return raw(
    port,
    `${method} ${path} HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: ${length}\r\n\r\n`,
    body,
  );
};

const plain = "text/plain; charset=utf-8";
const origin = "log.partner.example/main/production/gw-1/gateway/2026";
const log = keyOf(origin);
const vkey = printVerifierKey(sha256, origin, log.publicKey);
const named: WitnessedLogConfig = { id: "partner", key: vkey, everyYear: true };
const one = (text: string, of = origin, by = log) =>
  signNote(sha256, printCheckpointBody(of, 1, leafHash(sha256, Buffer.from(text))), { ...by, name: of });
const first = (note: string) => printSubmission({ oldSize: 0, proof: [], note });
const own = { origin: "sallyport.local/main/sallyport/control-1/control/2026", verifierKey: vkeyOfOwn() };
function vkeyOfOwn(): string {
  const name = "sallyport.local/main/sallyport/control-1/control/2026";
  return printVerifierKey(sha256, name, keyOf(name, 9).publicKey);
}

forEachDialect((dialect, open) => {
  let store: Store<ControlCommands>;
  let found: LogFinding[];
  beforeEach(async () => {
    store = await open<ControlCommands>({ commands, clock: { now: () => now, monotonic: () => 0 } });
    found = [];
  });

  const open1 = (logs: readonly WitnessedLogConfig[], state: WitnessState = storedTrees(store)) => {
    const signer = keyOf("witness.example/w1", 4);
    const witness = new Witness({ state, signer, now: () => now, found: async (it) => void found.push(it) });
    return { witness, shown: witnessForOthers({ store, own, now: () => now }, witness, () => logs) };
  };

  test("each submission of the vectors is answered with the bytes that another implementation answers", async () => {
    const logs = [{ id: "vectors", key: vectors.log, everyYear: false }];
    for (const { name, last, request, status, body } of vectors.submissions) {
      const kept = { size: last.size, root: Buffer.from(last.root, "base64"), note: "", logKey: "" };
      const state: WitnessState = { find: async () => (last.size === 0 ? null : kept), replace: async () => true };
      const { shown } = open1(logs, state);
      const answer = await post(await listen(shown), request);
      const type = status === 409 ? "text/x.tlog.size" : plain;
      assert.deepEqual(answer, { status, type, body: [200, 409].includes(status) ? body : "" }, name);
    }
  });

  test("what was cosigned last is shown under the hash of its origin, and nothing else is anywhere", async () => {
    const { shown } = open1([named]);
    const port = await listen(shown);
    const answer = await post(port, first(one("a")));
    assert.equal(answer.status, 200);
    const path = `/${originHash(sha256, origin)}/checkpoint`;
    assert.deepEqual(await post(port, "", path, "GET"), { status: 200, type: plain, body: one("a") + answer.body });
    const nothing = { status: 404, type: plain, body: "" };
    for (const [method, at] of [
      ["GET", "/"],
      ["POST", path],
      ["GET", `${path}/`],
      ["GET", path.toUpperCase()],
      ["GET", `/${originHash(sha256, "other")}/checkpoint`],
      ["POST", "/add-checkpoint?x"],
      ["POST", "//add-checkpoint"],
      ["POST", "/sign-subtree"],
    ] as const)
      assert.deepEqual(await post(port, "", at, method), nothing, `${method} ${at}`);
    assert.equal((await post(port, "", "/add-checkpoint", "GET")).status, 405);
  });

  test("a log that the estate does not name any more is neither cosigned nor shown", async () => {
    const logs = [named];
    const { shown } = open1(logs);
    const port = await listen(shown);
    assert.equal((await post(port, first(one("a")))).status, 200);
    logs.pop();
    assert.equal((await post(port, first(one("a")).replace("old 0", "old 1"))).status, 404);
    assert.equal((await post(port, "", `/${originHash(sha256, origin)}/checkpoint`, "GET")).status, 404);
  });

  test("attack: bodies that are too large, no UTF-8, chunked without end or no submission: a bounded no, and the next is served", async () => {
    const { shown } = open1([named]);
    const port = await listen(shown);
    const tooLarge = "x".repeat(submissionCharactersMax + 1);
    assert.equal((await post(port, tooLarge)).status, 413);
    const head = "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\n";
    const chunk = `${(65_536).toString(16)}\r\n${"x".repeat(65_536)}\r\n`;
    const endless = await raw(port, `${head}transfer-encoding: chunked\r\n\r\n`, ...Array(9).fill(chunk));
    assert.equal(endless.status, 413);
    assert.equal((await post(port, Uint8Array.of(0xff, 0xfe))).status, 400);
    for (const text of ["", "\n\n", "old 0\n\n", "old -1\n\nx", "old 00\n\n", first(one("a")).slice(1)])
      assert.equal((await post(port, text)).status, 400, JSON.stringify(text));
    assert.equal((await raw(port, `${head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello`)).status, 400);
    assert.equal((await post(port, first(one("a")))).status, 200);
  });

  test("attack: clients that never finish their body take nobody's turn", async () => {
    const { shown } = open1([named]);
    const port = await listen(shown);
    const head = "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 400\r\n\r\nold 0\n";
    const slow = await Promise.all(
      Array.from({ length: submissionsMax * 3 }, async () => {
        const socket = connect(port, "127.0.0.1");
        await new Promise<void>((resolve) => socket.once("connect", resolve));
        await new Promise<void>((resolve) => socket.write(head, () => resolve()));
        return socket;
      }),
    );
    assert.equal((await post(port, first(one("a")))).status, 200);
    for (const socket of slow) socket.destroy();
  });

  test("more at once than are worked on are told to come again, and nothing of them is kept", async () => {
    const held: (() => void)[] = [];
    const { shown } = open1([named]);
    let isHolding = true;
    let waiting = () => {};
    const full = new Promise<void>((resolve) => {
      waiting = resolve;
    });
    const slow: PublicWitness = {
      ...shown,
      addOutside: async (body) => {
        await new Promise<void>((resolve) => {
          held.push(resolve);
          if (held.length === submissionsMax) waiting();
          // One more than are worked on at once is not held: it is answered, and not with 503.
          if (!isHolding || held.length > submissionsMax) resolve();
        });
        return shown.addOutside(body);
      },
    };
    const port = await listen(slow);
    const under = Array.from({ length: submissionsMax }, () => post(port, first(one("a"))));
    const early = Promise.race(under).then(({ status }) => assert.fail(`answered ${status} while there was room`));
    try {
      await Promise.race([full, early]);
      assert.equal((await post(port, first(one("a")))).status, 503);
      assert.equal(held.length, submissionsMax);
    } finally {
      for (const go of held) go();
      early.catch(() => undefined);
    }
    assert.equal((await Promise.all(under)).filter(({ status }) => status === 200).length, 1);
    // Every turn was given back.
    isHolding = false;
    assert.equal((await post(port, first(one("a")).replace("old 0", "old 1"))).status, 200);
  });

  test("attack: the store fails under a cosignature: 503, no line leaves, and the next begins from what was durable", async () => {
    const trees = storedTrees(store);
    let isBroken = true;
    const failing: WitnessState = {
      ...trees,
      replace: (...asked) => (isBroken ? Promise.reject(new Error("the disk is gone")) : trees.replace(...asked)),
    };
    const { shown } = open1([named], failing);
    const faults: unknown[] = [];
    const port = await listen(shown, faults);
    assert.deepEqual(await post(port, first(one("a"))), { status: 503, type: plain, body: "" });
    assert.equal(faults.length, 1);
    isBroken = false;
    assert.equal((await post(port, first(one("b")))).status, 200);
  });

  test("attack: checkpoints of one size with many roots at once, to two control nodes' listeners: one is cosigned, a fork is found", async () => {
    const ports = [await listen(open1([named]).shown), await listen(open1([named]).shown)];
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, i) => post(ports[i % 2] ?? 0, first(one(`leaf ${i}`)))),
    );
    const statuses = answers.map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 200).length, 1, `${dialect} ${statuses}`);
    assert.ok(statuses.every((status) => [200, 409, 503].includes(status)));
    for (let i = 0; i < 12; i++) await post(ports[i % 2] ?? 0, first(one(`leaf ${i}`)).replace("old 0", "old 1"));
    assert.ok(found.length > 0 && found.every(({ code }) => code === "forked"));
  });

  test("attack: a log outside with the origin of a log of ours, or of our own control: unknown, and said", async () => {
    const theirs = keyOf(origin);
    const ofNode = await open<ControlCommands>({ commands, clock: { now: () => now, monotonic: () => 0 } });
    store = ofNode;
    const kept = { size: 1, root: "AAAA", logKey: Buffer.from(theirs.publicKey).toString("base64"), note: "ours" };
    const hash = originHash(sha256, origin);
    await store.run("keepWitnessed", { hash, last: null, next: { origin, ...kept } });
    const ownLike = keyOf(own.origin);
    const logs = [named, { id: "ours", key: printVerifierKey(sha256, own.origin, ownLike.publicKey), everyYear: true }];
    const { shown } = open1(logs);
    const port = await listen(shown);
    assert.equal((await post(port, first(one("a")))).status, 404, "the origin has another key");
    assert.equal((await post(port, first(one("a", own.origin, ownLike)))).status, 404, "our own origin");
    assert.equal((await post(port, "", `/${hash}/checkpoint`, "GET")).status, 404, "nor is ours shown");
    assert.equal((await store.run("findWitnessed", { origin }))?.note, "ours");
    assert.deepEqual(await outsideConflicts({ store, own, now: () => now }, logs), [
      "the log partner of the estate is not cosigned: its origin was cosigned before, under another key",
      "the log ours of the estate is not cosigned: it is the log of this control",
    ]);
  });

  test("a log named for every year is one log: each year's origin under its key, no further than the next year, and no other log's", async () => {
    const port = await listen(open1([named]).shown);
    const of = (year: string) => origin.replace("2026", year);
    const year = new Date(now).getUTCFullYear();
    for (const [at, status] of [
      [of("2020"), 200],
      [of(String(year + 1)), 200],
      [of(String(year + 2)), 404],
      [of("1999"), 404],
      [of("02020"), 404],
      [origin.replace("gw-1", "gw-2"), 404],
      [`${origin}/2020`, 404],
    ] as const)
      assert.equal((await post(port, first(one("a", at)))).status, status, at);
    const alone = await listen(open1([{ ...named, everyYear: false }]).shown);
    assert.equal((await post(alone, first(one("a", of("2021"))))).status, 404);
  });

  test("attack: a cosignature asked for with another log's key, or a line by its key over another text: 403", async () => {
    const port = await listen(open1([named]).shown);
    const stranger = keyOf(origin);
    assert.equal((await post(port, first(one("a", origin, stranger)))).status, 403);
    const moved = one("a").replace(/\n\n.*$/s, one("b").slice(one("b").indexOf("\n\n")));
    assert.equal((await post(port, first(moved))).status, 403);
  });
});
