// A witness that the estate names, before real processes: it is asked for control's log and for the gateway's, and by a gateway that starts while control is away.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, test } from "node:test";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { closeServedWitnesses, serveAnswers } from "@sallyport/kernel/witness/http-witness.test-support.ts";
import { printWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { parseSubmission } from "@sallyport/protocol/audit/witness-request.ts";
import { Installation, isReady, until } from "./installation.test-support.ts";

const opened: Installation[] = [];
after(async () => {
  for (const installation of opened) await installation.close();
  await closeServedWitnesses();
});

test("the estate's witness is asked for every log, without a flag, and goes on being asked without control", {
  timeout: 180_000,
}, async () => {
  const installation = await Installation.open();
  opened.push(installation);
  // It knows no log: who asks for which is what counts here.
  const served = await serveAnswers(async () => ({ status: 404, body: "" }));
  const origins = (from = 0) =>
    served.asked.slice(from).map(({ body }) => parseSubmission(body)?.checkpoint.origin.split("/").slice(-2)[0]);
  const { publicKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  const key = printWitnessKey(sha256, "witness.example/w1", raw);
  const estate = installation.files()["sallyport.yaml"];
  const outside = `witnesses:\n  outside:\n    notary:\n      url: ${served.url}\n      key: ${key}\n      allowPrivate: true\n`;
  installation.writeEstate({ "sallyport.yaml": `${estate}${outside}` });
  const control = await installation.startControl();
  installation.trustRoots();
  const gateway = await installation.startGateway();
  await until("control's log to be taken to it", () => origins().includes("control"));
  await until("the gateway's log to be taken to it", () => origins().includes("gateway"));
  const report = await installation
    .operator()
    .call<{ outside: unknown; quorum: { asked: number; leaves: number } }>("GET", "/v1/witnesses");
  assert.deepEqual(report.outside, [{ name: "notary", url: served.url, key }]);
  assert.deepEqual([report.quorum.asked, report.quorum.leaves], [1, 0]);
  await gateway.signal("SIGTERM");
  await control.signal("SIGTERM");
  const before = served.asked.length;
  await installation.serveGateway().line(isReady);
  await until("the gateway alone to take its log to it", () => origins(before).includes("gateway"));
  assert.ok(!origins(before).includes("control"));
});
