// The commands that promise to need nothing but files, in a process that is not allowed to connect, to look a name up or to start another;
// and the five formats of `check`, each as it is typed.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Ended, inheritedEnvironment } from "../program.test-support.ts";

const bounded = { timeout: 120_000 };
const main = fileURLToPath(new URL("../main.ts", import.meta.url));
const marketplace = fileURLToPath(new URL("../../../../examples/marketplace/estate", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sallyport-offline-"));
const estate = join(folder, "estate");
cpSync(marketplace, estate, { recursive: true });
writeFileSync(
  join(estate, "systems/stock.yaml"),
  "system: stock\nurl: http://stock.internal:8080\noperations:\n  item.read: GET /v1/items/{id}\n",
);
after(() => rmSync(folder, { recursive: true, force: true }));

/** Files alone: Node refuses connections, look-ups, processes and threads. */
const filesAlone = ["--permission", "--allow-fs-read=*", "--allow-fs-write=*"];

function runAlone(...argv: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: inheritedEnvironment(), timeout: 100_000 };
    const child = execFile(process.execPath, [...filesAlone, ...argv], options, (_error, out, err) =>
      resolve({ exit: child.exitCode ?? -1, out, err }),
    );
  });
}

test("a process that has files alone can neither connect nor look a name up", bounded, async () => {
  const tries =
    "require('net').connect(9,'127.0.0.1').on('error',({code})=>console.log(code));require('dns').lookup('localhost',({code})=>console.log(code))";
  const { out } = await runAlone("-e", tries);
  assert.equal(out, "ERR_ACCESS_DENIED\nERR_ACCESS_DENIED\n");
});

const formats: Readonly<Record<string, RegExp>> = {
  text: /systems\/stock\.yaml:2:6 warning \[upstream-cleartext\] .* Fix: .*\n[\s\S]*no errors, \d+ warnings/,
  json: /^\{[\s\S]*"rule": ?"upstream-cleartext"[\s\S]*\}\n$/,
  sarif: /"version": ?"2\.1\.0"[\s\S]*"ruleId": ?"upstream-cleartext"/,
  junit: /^<\?xml [\s\S]*<failure type="upstream-cleartext" [\s\S]*<\/testsuites>\n$/,
  github: /^::warning file=[^\n]*systems\/stock\.yaml,line=2,col=6,title=upstream-cleartext::/m,
};

for (const [format, says] of Object.entries(formats))
  test(`check --format ${format}: what is found, and exit 1, without a network`, bounded, async () => {
    const { exit, out, err } = await runAlone(main, "check", estate, "--format", format, "--fail-on", "warning");
    assert.equal(exit, 1, err);
    assert.match(out, says);
    if (format === "json" || format === "sarif") JSON.parse(out);
  });

const others: readonly (readonly [words: readonly string[], exit: number, says: RegExp])[] = [
  [["fmt", estate, "--check"], 0, /\d+ files/],
  [["show", "orders-to-billing", "--config", estate], 0, /^owner: /m],
  [["policy", "generated", estate], 0, /permit \(/],
  [["policy", "test", estate], 0, /\d+ (cases|passed)/],
  [["init", join(folder, "fresh")], 0, /systems\/billing\.yaml/],
];

for (const [words, exit, says] of others)
  test(`${words.slice(0, 2).join(" ").replaceAll(folder, "")} works without a network`, bounded, async () => {
    const ended = await runAlone(main, ...words);
    assert.equal(ended.exit, exit, ended.err);
    assert.match(ended.out, says);
  });
