import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hopKeyAgeMsMax, openHopKeyStore } from "./hop-key-store.ts";

function newDirectory(t: { after(f: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-hop-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const start = 1_795_000_000_000;

test("a hop key and its certificate outlive a restart, in a file of their owner alone", (t) => {
  const directory = newDirectory(t);
  const first = openHopKeyStore(directory, () => start);
  assert.equal(first.certificate, null);
  const certificate = { kid: first.signer.kid, jws: "a.b.c" };
  first.keep(certificate);
  const second = openHopKeyStore(directory, () => start + 60_000);
  assert.equal(second.signer.kid, first.signer.kid);
  assert.deepEqual(second.certificate, certificate);
  assert.equal(statSync(join(directory, "node", "hop.json")).mode & 0o777, 0o600);
});

test("a hop key is kept only with a certificate for it, and never longer than seven days", (t) => {
  const directory = newDirectory(t);
  const first = openHopKeyStore(directory, () => start);
  first.keep({ kid: "another-key", jws: "a.b.c" });
  assert.notEqual(openHopKeyStore(directory, () => start).signer.kid, first.signer.kid);
  first.keep({ kid: first.signer.kid, jws: "a.b.c" });
  assert.equal(openHopKeyStore(directory, () => start + hopKeyAgeMsMax - 1).signer.kid, first.signer.kid);
  assert.notEqual(openHopKeyStore(directory, () => start + hopKeyAgeMsMax).signer.kid, first.signer.kid);
  assert.notEqual(openHopKeyStore(directory, () => start - 1).signer.kid, first.signer.kid, "made in the future");
});

test("attack: a hop key that others could read or that was changed is not taken up", (t) => {
  const directory = newDirectory(t);
  const first = openHopKeyStore(directory, () => start);
  first.keep({ kid: first.signer.kid, jws: "a.b.c" });
  const path = join(directory, "node", "hop.json");
  const good = readFileSync(path, "utf8");
  writeFileSync(path, good.replace(first.signer.kid, "x".repeat(43)));
  assert.notEqual(openHopKeyStore(directory, () => start).signer.kid, first.signer.kid);
  writeFileSync(path, good);
  chmodSync(path, 0o644);
  assert.notEqual(openHopKeyStore(directory, () => start).signer.kid, first.signer.kid);
});
