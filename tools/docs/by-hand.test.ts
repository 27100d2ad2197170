// docs/identity/by-hand.md, typed as it stands against a running installation.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { Installation, isReady } from "../../packages/cli/src/installation.test-support.ts";
import { Reader, readBlocks } from "./doc-blocks.ts";

const root = dirname(dirname(import.meta.dirname));
const page = readFileSync(join(root, "docs/identity/by-hand.md"), "utf8");

test("a token and a call with curl and the page's script alone", { timeout: 120_000 }, async (t) => {
  const installation = await Installation.open();
  const directory = join(installation.root, "by-hand");
  mkdirSync(directory);
  const reader = new Reader({
    directory,
    env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` },
    timeoutMs: 60_000,
  });
  t.after(async () => {
    await reader.close();
    await installation.close();
  });
  const { gateway, identity } = installation.ports;
  const served = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", installation.data("all"), "--listen", `public=127.0.0.1:${gateway}`],
  ]);
  await served.line(isReady);
  symlinkSync(installation.data("all"), join(directory, ".sallyport"));
  writeFileSync(join(directory, "orders.key.pem"), installation.clientKey.pem, { mode: 0o600 });
  // The ports of the page may be somebody else's; nothing else is changed.
  const blocks = readBlocks(page.replaceAll("7440", String(identity)).replaceAll("8443", String(gateway)));
  assert.equal(blocks.length, 4, "every block of the page is typed");
  const before = installation.upstreamRequests;
  for (const block of blocks) await reader.follow(block);
  assert.equal(installation.upstreamRequests - before, 1);
  const answer = readFileSync(join(directory, "answer.json"), "utf8");
  assert.equal(JSON.parse(answer).access_token, readFileSync(join(directory, "token.txt"), "utf8").trim());
});
