// The first chapter of docs/witnesses.md, run as it stands by a shell with the real binary: from nothing to two of three witnesses.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePorts } from "./port-lane.test-support.ts";
import { inheritedEnvironment } from "./program.test-support.ts";

const page = readFileSync(new URL("../../../docs/witnesses.md", import.meta.url), "utf8");
const main = fileURLToPath(new URL("main.ts", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "sallyport-witness-page-"));
const read = (name: string) => readFileSync(join(root, name), "utf8");

after(() => {
  for (const name of readdirSync(root).filter((one) => one.endsWith(".pid"))) stop(Number(read(name)));
  // The page does not wait for the ends of what it started: one may be writing still.
  rmSync(root, { recursive: true, force: true, maxRetries: 20 });
});

/** What a failed run left. */
function stop(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** The shell blocks of one chapter, in their order. */
function chapter(title: string): string {
  const text = page.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join("");
}

/** `sallyport` on the path: listeners that the page leaves at their defaults take free ports. */
function install(folder: string): void {
  mkdirSync(folder);
  const listeners = ["identity", "channel", "admin", "status"].map((name) => `--${name}-listen 127.0.0.1:0`).join(" ");
  writeFileSync(
    join(folder, "sallyport"),
    `#!/bin/sh
case "$*" in
  *--admin-listen*) ;;
  serve*) set -- "$@" ${listeners} ;;
esac
exec "${process.execPath}" --disable-warning=ExperimentalWarning "${main}" "$@"
`,
  );
  chmodSync(join(folder, "sallyport"), 0o755);
}

test("from nothing to two of three witnesses, as the page says", { timeout: 300_000 }, async () => {
  install(join(root, "bin"));
  const ports = await freePorts(3);
  const script = ["7451", "7452", "7453"].reduce(
    (text, port, i) => text.replaceAll(port, String(ports[i])),
    chapter("Two of three witnesses in five minutes"),
  );
  assert.ok(script.includes("--witness-listen"));
  const path = `${join(root, "bin")}${delimiter}${process.env["PATH"] ?? ""}`;
  const child = spawn("bash", ["-eu", "-o", "pipefail", "-c", script], {
    cwd: root,
    env: { ...inheritedEnvironment(), PATH: path },
    stdio: ["ignore", "pipe", "pipe"],
    // The page waits as long as it takes; a test does not.
    ...{ timeout: 200_000, killSignal: "SIGKILL" as const },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (said += text.toString()));
  // Closed, not only ended: what it said has all been read.
  const exit = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(exit, 0, said);
  assert.match(said, /witness-single-point/);
  assert.match(said, /witness-insecure-url/);
  assert.match(
    said,
    /^\+ sallyport: checkpoints are taken to notary \(http:\/\/127\.0\.0\.1:\d+, private addresses too\)/m,
  );
  assert.match(said, /^\+ sallyport: a checkpoint is witnessed once 2 of 3 outside witnesses cosigned it$/m);
  const met = /^policy +met at \d+ of \d+ leaves, cosigned by (.*)$/m;
  const cosigners = met.exec(read("verify.out"))?.[1]?.match(/notary|auditor|partner/g) ?? [];
  assert.ok(cosigners.length >= 2, read("verify.out"));
  assert.match(read("without-partner.out"), met);
  assert.match(read("team.policy"), /^group outside 2 auditor notary partner\nquorum outside$/m);
  assert.ok(existsSync(join(root, "shop", "log")));
});
