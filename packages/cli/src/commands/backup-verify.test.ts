// `backup verify` as it is typed, on backups of both dialects that the first version made: what is whole, what is bent, and who cannot open it.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runBinary } from "../program.test-support.ts";
import { fixturePassphrase, fixturesFolder } from "../upgrade/fixture.ts";

const bounded = { timeout: 120_000 };
const folder = mkdtempSync(join(tmpdir(), "sallyport-backup-verify-"));
const temporary = join(folder, "temporary");
mkdirSync(temporary);
after(() => rmSync(folder, { recursive: true, force: true }));

function secretFile(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
const right = secretFile("right", fixturePassphrase);
const wrong = secretFile("wrong", `${fixturePassphrase}, nearly`);

const verify = (...argv: readonly string[]) =>
  runBinary(["--json", "backup", "verify", ...argv], { TMPDIR: temporary });

for (const dialect of ["sqlite", "postgres"] as const) {
  const file = fileURLToPath(new URL(`0.1.0/${dialect}.sallyport`, fixturesFolder));

  test(
    `a backup on ${dialect}: 0 when it is whole, with whose it is; 1 for one flipped bit and another's signature`,
    bounded,
    async () => {
      const whole = await verify(file, "--passphrase-file", right);
      assert.equal(whole.exit, 0, whole.err);
      const said = JSON.parse(whole.out);
      assert.deepEqual([said.valid, said.dialect, said.product, said.signerGiven], [true, dialect, "0.1.0", false]);
      const bytes = readFileSync(file);
      const middle = bytes.length >> 1;
      bytes[middle] = (bytes[middle] ?? 0) ^ 1;
      const bent = secretFile(`bent-${dialect}`, "");
      writeFileSync(bent, bytes);
      const vouched = await verify(file, "--passphrase-file", right, "--signer", said.signer);
      assert.equal(JSON.parse(vouched.out).signerGiven, true, vouched.err);
      const damaged = await verify(bent, "--passphrase-file", right);
      assert.deepEqual([damaged.exit, damaged.out], [1, ""]);
      assert.match(JSON.parse(damaged.err).error, /^no: .*\(backup-damaged\)$/);
      assert.deepEqual(readdirSync(temporary), [], "nothing of what was opened stays on the disk");
    },
  );
}

test(
  "a passphrase that does not open it, none at all and a file that is not there are exit 2, each with the fix",
  bounded,
  async () => {
    const file = fileURLToPath(new URL("0.1.0/sqlite.sallyport", fixturesFolder));
    const [closed, unsaid, absent] = await Promise.all([
      verify(file, "--passphrase-file", wrong),
      verify(file),
      verify(join(folder, "absent.sallyport"), "--passphrase-file", right),
    ]);
    assert.deepEqual([closed.exit, unsaid.exit, absent.exit], [2, 2, 2]);
    assert.match(closed.err, /passphrase/);
    assert.match(JSON.parse(unsaid.err).fix, /--key .*--passphrase-file/);
    assert.match(absent.err, /absent\.sallyport/);
    assert.doesNotMatch(closed.err + absent.err, new RegExp(fixturePassphrase));
    assert.deepEqual(readdirSync(temporary), []);
  },
);
