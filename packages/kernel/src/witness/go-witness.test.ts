// Our client against a witness that another implementation's libraries make (golang.org/x/mod/sumdb), over HTTP and the guarded dialer.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { parseWitnessKey, verifyCosignatures } from "@sallyport/protocol/audit/cosignature.ts";
import { buildInterop } from "../../../../tools/witness-interop/go-program.ts";
import { createDialer } from "../dial/dialer.ts";
import { noteCrypto, sha256 } from "../log/log-crypto.ts";
import { openHttpWitness, refuseWitness } from "./http-witness.ts";
import { closeTestLogs, cosign, grow, openTestLog } from "./witnessed-log.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-go-witness-"));
let child: ChildProcess | null = null;
after(async () => {
  await closeTestLogs();
  child?.kill();
  rmSync(folder, { recursive: true, force: true });
});

test("a witness of another implementation cosigns our log as it grows, across tiles and restarts", {
  timeout: 180_000,
}, async () => {
  const program = buildInterop(folder);
  const directory = join(folder, "log");
  let log = await openTestLog(directory);
  child = spawn(program, ["witness", log.verifierKey], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout ?? assert.fail("no output") });
  const [line] = await once(lines, "line");
  const { url, key } = JSON.parse(String(line));
  const dialer = createDialer();
  const witness = openHttpWitness(dialer, { url, key, allowPrivate: true });
  for (const [from, leaves] of [
    [0, 1],
    [10, 254],
    [1_000, 3],
    [2_000, 700],
    [5_000, 0],
  ] as const) {
    await grow(log, leaves, from);
    const { cosigning, faults } = cosign(log, directory, [witness], Date.now);
    await cosigning.round();
    assert.deepEqual(faults, []);
    assert.equal(cosigning.standings()[0]?.cosigned.get(log.origin), log.size());
    await log.close();
    log = await openTestLog(directory);
  }
  const note = readFileSync(join(directory, String(new Date().getUTCFullYear()), "cosigned"), "utf8").slice(0, -1);
  const verdict = verifyCosignatures(noteCrypto, note, [parseWitnessKey(sha256, key) ?? assert.fail("no key")]);
  assert.ok(verdict.kind === "ok" && verdict.cosigned.length === 1);
  const { cosigning, faults } = cosign(
    log,
    directory,
    [openHttpWitness(dialer, { url, key, allowPrivate: false })],
    Date.now,
  );
  await grow(log, 1, 9_000);
  await cosigning.round();
  assert.match(
    faults[0] ?? "",
    /private|loopback|not allowed|address/,
    "attack: a witness's name that leads inside is not dialled",
  );
  await witness.close();
  await log.close();
});

test("a witness is an http or https prefix and a key of type 0x04, and nothing else", () => {
  const key = "witness.example/w1+a1b2c3d4+AAAA";
  for (const url of [
    "ftp://w.example",
    "w.example",
    "https://u:p@w.example/",
    "https://w.example/?a",
    "https://w.example/#b",
  ])
    assert.match(refuseWitness({ url, key }) ?? "", /URL|scheme/);
  assert.match(refuseWitness({ url: "https://w.example/prefix", key }) ?? "", /verifier key of a witness/);
});
