// `revocation` of a trust bundle: what is read, what is refused with place and fix, what of it reaches a snapshot, and what operators are told in time.
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { createLocalCa, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { decideNotices } from "../../admin/notices.ts";
import { compileTrust } from "../../snapshot/compile-objects.ts";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";
import { listOf } from "./revocation-list.test-support.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const now = Date.UTC(2026, 10, 30);
const dayMs = 86_400_000;
const life = { notBeforeMs: Date.UTC(2026, 0, 1), notAfterMs: Date.UTC(2030, 0, 1) };
const caOf = (use: string): LocalCa =>
  createLocalCa({ tenant: "main", environment: "production", random, use, ...life });
const [ours, other] = [caOf("ours"), caOf("other")];
const inForce = { fromMs: now - dayMs, untilMs: now + 30 * dayMs };
const good = await listOf(ours, inForce);

interface Given {
  readonly list?: string;
  readonly more?: string;
  readonly roots?: string;
  readonly files?: Readonly<Record<string, string>>;
}

function load({ list = good, more = "", roots = ours.certificatePem, files = {} }: Given) {
  const loaded = loadEstateFrom(
    memoryEstateIo(
      {
        "trust/workloads.yaml": `trust: workloads\nroots: [ours.pem]\nrevocation:\n  lists: [ours.crl.pem]\n${more}`,
        "trust/ours.pem": roots,
        "trust/ours.crl.pem": list,
        "systems/orders.yaml":
          "system: orders\nidentity:\n  certificate: { trust: workloads, uri: spiffe://acme/orders }\n",
        ...files,
      },
      () => now,
    ),
  );
  const [environment] = loaded.estate.environments;
  assert.ok(environment !== undefined);
  return {
    environment,
    errors: loaded.findings
      .filter(({ severity }) => severity === "error")
      .map(({ file, line, message }) => `${file}:${line}: ${message}`),
  };
}

const noticesAt = (given: Given, at = now) =>
  decideNotices({ environments: [load(given).environment], now: at, checkpointCopy: true, issuers: new Map() })
    .filter(({ object }) => object === "trust/workloads")
    .map(({ urgency, text, file, line }) => `${urgency}: ${text} (${file}:${line})`);

test("the lists of a bundle reach the snapshot as DER, required unless the file says otherwise", () => {
  const { environment, errors } = load({});
  assert.deepEqual(errors, []);
  const [trust] = compileTrust(environment);
  assert.equal(trust?.revocation?.required, true);
  assert.deepEqual(trust.revocation.lists, [good.split("\n").slice(1, -2).join("")]);
  const soft = load({ more: "  required: false\n" });
  assert.equal(compileTrust(soft.environment)[0]?.revocation?.required, false);
});

test("the bundle that only a proxy's certificate is judged by reaches the snapshot as well", () => {
  const { environment } = load({
    files: {
      "sallyport.yaml":
        "estate: tiny\nlisteners:\n  asked:\n    url: http://127.0.0.1:9\n    authorizer: { proxy: nginx, certificate: { trust: workloads, dns: edge.acme.example } }\n",
      "systems/orders.yaml": "system: orders\n",
    },
  });
  assert.deepEqual(
    compileTrust(environment).map(({ name }) => name),
    ["workloads"],
  );
});

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const refused: readonly (readonly [string, Given, RegExp])[] = [
  ["a certificate", { list: ours.certificatePem }, /trust\/workloads\.yaml:4: .*no PEM revocation list/],
  ["binary DER", { list: "\u0000\u0001" }, /no PEM revocation list/],
  ["a list cut short", { list: good.replace(/\n[A-Za-z0-9+/=]+\n-----END/, "\n-----END") }, /workloads\.yaml:4: /],
  ["a list with no end", { list: good.replace(/-----END.*/, "") }, /has no end/],
  [
    "a list in the root's name under another key",
    { list: await listOf(ours, { ...inForce, signedBy: other }) },
    /did not sign it/,
  ],
  [
    "a private key beside a list",
    { list: good + privateKey.export({ type: "pkcs8", format: "pem" }).toString() },
    /a private key/,
  ],
  [
    "lists of a bundle that servers are judged by",
    {
      files: {
        "systems/billing.yaml":
          "system: billing\nurl: https://billing.internal\ntls: { ca: workloads }\noperations:\n  invoice.read: GET /v1/invoices/{id}\n",
      },
    },
    /systems\/billing\.yaml:3: the bundle `workloads` has revocation lists, which are obeyed for client certificates alone/,
  ],
];
for (const [what, given, said] of refused)
  test(`${what}: an error where it is named`, () => {
    assert.match(load(given).errors.join("\n"), said);
  });

test("a list that is missing is an error, and the bundle stands for nobody", () => {
  const { environment, errors } = load({
    files: { "trust/workloads.yaml": "trust: workloads\nroots: [ours.pem]\nrevocation: { lists: [gone.pem] }\n" },
  });
  assert.match(errors.join("\n"), /trust\/workloads\.yaml:3: no such file/);
  assert.deepEqual(compileTrust(environment), []);
});

test("operators are told in the last third of a list's life, when it is over, and of a root without one: with what it means and where", async () => {
  assert.deepEqual(noticesAt({}), []);
  const near = await listOf(ours, { fromMs: now - 2 * dayMs, untilMs: now + dayMs / 2 });
  assert.deepEqual(noticesAt({ list: near }, now), [
    "7 days: the revocation list of CN=Sallyport main/production ours ends at 2026-11-30T12:00Z: then every client certificate of that CA is denied (trust/workloads.yaml:3)",
  ]);
  assert.match(
    noticesAt({ list: near }, now + dayMs).join("\n"),
    /^over: .* was over at 2026-11-30T12:00Z: every client certificate of that CA is denied/,
  );
  assert.match(
    noticesAt({ list: near, more: "  required: false\n" }, now + dayMs).join("\n"),
    /what was revoked since is not known/,
  );
  const both = ours.certificatePem + other.certificatePem;
  assert.match(
    noticesAt({ roots: both }).join("\n"),
    /^over: no revocation list of CN=Sallyport main\/production other: whatever it issues is denied/,
  );
  assert.deepEqual(noticesAt({ roots: both, more: "  required: false\n" }), []);
});
