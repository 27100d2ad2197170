// The access token that a provider is called with, as it is written: what it becomes for control and for gateways, and each mistake with its place and fix.
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileNextHop } from "../../snapshot/compile-next-hop.ts";
import type { EnvironmentConfig } from "./estate.ts";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const sound = soundEstate();
const billing = (sound["systems/billing.yaml"] ?? "").replace("url: http:", "url: https:");
const bearer = "  bearer: { reason: Their framework verifies bearer tokens alone, until: 2099-01-31 }\n";
const outside = "  outside: { endpoint: https://login.example/token, client: acme, scopes: [a.read] }\n";
const withHop = (more: string, text = billing) => ({ ...sound, "systems/billing.yaml": `${text}${more}` });
const errorsOf = (files: Readonly<Record<string, string>>): string =>
  load(files)
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding)
    .join("\n");
const environmentOf = (files: Readonly<Record<string, string>>): EnvironmentConfig =>
  load(files).estate.environments[0] ?? assert.fail("no environment");
const systemOf = (files: Readonly<Record<string, string>>) =>
  environmentOf(files).systems.find(({ id }) => id === "billing") ?? assert.fail(errorsOf(files));

test("`own` is a bound token by the gateway; all else is written out", () => {
  assert.deepEqual(systemOf(withHop("nextHop: own\n")).upstream?.nextHop, { actor: "gateway" });
  const said = systemOf(withHop(`nextHop:\n  actor: caller\n  identity: false\n${bearer}${outside}`)).upstream?.nextHop;
  assert.deepEqual(
    [said?.actor, said?.withoutIdentity, said?.outside?.grant, said?.outside?.audience],
    ["caller", true, "token-exchange", "https://login.example/token"],
  );
});

test("gateways are told what they need and nothing of where or why, and hear of every change control decides by", () => {
  const object = (files: Readonly<Record<string, string>>) =>
    compileNextHop(systemOf(files), environmentOf(files)).nextHop ?? assert.fail("no rule");
  const own = object(withHop("nextHop: own\n"));
  assert.deepEqual([own.exchanged, own.scheme, own.withoutIdentity], [true, "DPoP", undefined]);
  const credentials = outside.replace("client:", "grant: client-credentials, client:");
  const other = object(withHop(`nextHop:\n${bearer}${credentials}`));
  assert.deepEqual([other.exchanged, other.scheme], [false, "Bearer"]);
  assert.ok(!JSON.stringify(other).includes("login.example"));
  const policy = { "policies/t.cedar": '@id("t")\nforbid(principal, action == Action::"token:exchange", resource);\n' };
  const rules = [
    own.rules,
    other.rules,
    object(withHop("nextHop: { actor: caller }\n")).rules,
    object({ ...withHop("nextHop: own\n"), ...policy }).rules,
    object(withHop(`nextHop:\n${bearer}${outside}`)).rules,
  ];
  assert.equal(new Set(rules).size, rules.length);
  assert.equal(object(withHop("nextHop: own\n")).rules, own.rules);
});

test("what could not be kept is an error where it stands: no url, gRPC, two words against each other, a bearer nobody asked for", () => {
  const calls = billing.replace(
    "  invoice.read: GET /v1/invoices/{id}\n",
    "  invoice.watch: { match: POST /acme.Billing/Watch, protocol: grpc }\n",
  );
  for (const [files, wanted] of [
    [withHop("nextHop: own\n", calls), /nextHop: calls of gRPC are not sent with a token/],
    [withHop("signed: true\nnextHop: { identity: false }\n"), /nextHop\.identity: `signed` covers/],
    [withHop(`nextHop:\n${outside}`), /nextHop\.outside: tokens of another issuer are bearer tokens/],
    [withHop(`nextHop:\n${bearer}${outside.replace("https:", "http:")}`), /nextHop\.outside\.endpoint: not https/],
    [
      withHop(`nextHop:\n${bearer}${outside.replace("login.example", "127.0.0.1")}`),
      /nextHop\.outside\.endpoint: the URL leads to a private/,
    ],
    [withHop(`nextHop:\n${bearer}${outside.replace("a.read", "a b")}`), /not one word of a scope/],
    [withHop(`nextHop:\n${bearer}${outside.replace(" }", ", tls: { ca: nobody } }")}`), /nobody/],
    [withHop("nextHop: theirs\n"), /nextHop/],
    [
      withHop(`nextHop:\n${bearer}`, billing.replace(/^url: .*$/m, "url: http://billing.example")),
      /nextHop\.bearer: a bearer token would cross the network in clear/,
    ],
    [
      withHop(
        "nextHop: own\n",
        billing.replace("GET /v1/invoices/{id}", '{ match: "GET /v1/invoices/{id}", nextHopScope: [a] }'),
      ),
      /nextHopScope: there is no `nextHop\.outside`/,
    ],
  ] as const)
    assert.match(errorsOf(files), wanted);
  assert.equal(errorsOf(withHop(`nextHop:\n${bearer}${outside}`)), "");
});
