// The script of docs/identity/message-signatures.md, run as it stands, against a real gateway; and what an operator is told when it signs something else.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { SignatureKey } from "@sallyport/protocol/signature/signature-key.ts";
import type { CrossingObserver } from "./ports.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { billing } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { movableClock, startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { call } from "./testing/test-caller.ts";

const page = readFileSync(new URL("../../../docs/identity/message-signatures.md", import.meta.url), "utf8");
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const clock = movableClock();
const folder = mkdtempSync(join(tmpdir(), "sallyport-signs-"));
let upstream: CountingUpstream;
let bed: TestGateway;
let expected: string | undefined;
const remember: CrossingObserver["crossing"] = (_, { deny }) => {
  expected = deny?.facts["expected"];
};

before(async () => {
  upstream = await startCountingUpstream();
  // The public half of a pair of exactly this kind.
  const jwk = pair.publicKey.export({ format: "jwk" }) as unknown as SignatureKey["jwk"];
  const key = { keyid: "acme-2026", alg: "ecdsa-p256-sha256", jwk } as const;
  // A gateway that has just begun takes no signature of before, and the script signs by the clock of the machine.
  clock.shiftMs = -20_000;
  bed = await startTestGateway({
    estate: {
      systems: [billing(upstream.url), { id: "acme", changes: { signatures: { keys: [key], covers: [] } } }],
      integrations: [
        {
          ...{ id: "acme-to-billing", from: "acme", to: "billing", proof: ["signature"] },
          operations: [{ name: "invoice.read" }, { name: "invoice.create" }],
        },
      ],
    },
    openLog: openTestLog,
    clock,
    changes: { observers: [{ crossing: remember }] },
  });
  clock.shiftMs = 0;
  bed.feed.heartbeat();
  const [, script = ""] = /```js\n(\/\/ sign-request\.mjs[\s\S]*?)```/.exec(page) ?? [];
  writeFileSync(join(folder, "sign-request.mjs"), script);
  writeFileSync(join(folder, "acme.key.pem"), pair.privateKey.export({ format: "pem", type: "pkcs8" }), {
    mode: 0o600,
  });
});
after(async () => {
  await bed?.close();
  await upstream?.close();
  rmSync(folder, { recursive: true, force: true });
});

function signed(...words: readonly string[]): Readonly<Record<string, string>> {
  const { stdout, stderr } = spawnSync(process.execPath, ["sign-request.mjs", "acme.key.pem", "acme-2026", ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  return Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/: (.*)/s, 2) as [string, string]),
  );
}

test("what the page's script signs crosses, with content and without", async () => {
  const base = `${bed.addresses[0]?.url}/billing/v1/invoices`;
  const read = await call(`${base}/7`, { headers: signed("GET", `${base}/7`) });
  assert.equal(read.status, 200, read.text);
  const body = '{"amount":5,"customer":"acme"}';
  const created = await call(base, { method: "POST", headers: signed("POST", base, body), body });
  assert.equal(created.status, 200, created.text);
  assert.equal(upstream.seen.length, 2);
});

test("a signature over another address is answered to the operator with the lines that had to be signed, without the query", async () => {
  const base = `${bed.addresses[0]?.url}/billing/v1/invoices`;
  const answer = await call(`${base}/8?token=secret`, { headers: signed("GET", `${base}/9`) });
  assert.equal(answer.status, 401);
  assert.equal(expected, `signed over "@method": GET, "@target-uri": ${base}/8?…`);
});
