// Signals at a real gateway: who calls from where is what the sockets and the tokens say, and a policy that reads it decides.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openGeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import { geoFileBytes } from "@sallyport/kernel/geo/geo-file-bytes.test-support.ts";
import type { DecisionInputs } from "@sallyport/kernel/policy/port.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, TestCaller } from "./testing/test-caller.ts";

const at = (latitude: number, longitude: number) => ({ latitude, longitude, accuracy_radius: 10 });
const [berlin, sydney, nowhere] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
const geo = openGeoFile(
  geoFileBytes([
    { network: `${berlin}/32`, record: { country: { iso_code: "DE" }, location: at(52.5, 13.4) } },
    { network: `${sydney}/32`, record: { country: { iso_code: "AU" }, location: at(-33.9, 151.2) } },
  ]),
);
const only = (name: string, condition: string) => ({
  ...{ name, method: "GET", path: `/v1/${name}` },
  cedar: `@id("${name}") forbid(principal, action == Action::"billing:${name}", resource) ${condition};`,
});
const operations = [
  only("plain", 'when { context.zone == "nowhere" }'),
  only("at-home", 'unless { context has country && context.country == "DE" }'),
  only("low-risk", "when { context has risk && context.risk >= 50 }"),
  only("fresh", "unless { context has authAge && context.authAge <= 300 }"),
  only("strong", 'unless { context.acrLevel >= 2 && context has amr && context.amr.contains("otp") }'),
  only("inside", 'unless { context.addressClass == "loopback" }'),
  only("unguarded", 'when { context.country == "AU" }'),
];

let upstream: CountingUpstream;
let bed: TestGateway;
let portal: TestCaller;
let last: DecisionInputs["context"] | null = null;
const observers = [
  {
    crossing: ({ decision }: { readonly decision: DecisionInputs | null }) => {
      last = decision?.context ?? null;
    },
  },
];

async function open(withFile: boolean): Promise<TestGateway> {
  return startTestGateway({
    openLog: openTestLog,
    changes: { observers, geo: withFile ? geo : null },
    estate: {
      systems: [
        { id: "portal", clients: ["portal"] },
        { id: "billing", url: upstream.url, operations },
      ],
      integrations: [
        {
          id: "portal-to-billing",
          from: "portal",
          to: "billing",
          operations: operations.map(({ name }) => ({ name })),
        },
      ],
    },
  });
}
before(async () => {
  upstream = await startCountingUpstream();
  bed = await open(true);
  portal = new TestCaller(bed.feed, "portal", () => bed.clock.now());
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

let sessions = 0;
/** Calls of one log-in, made just now with a code. */
function session(over: Readonly<Record<string, unknown>> = {}) {
  sessions += 1;
  const user = {
    ...{ sub: "usr_anna", sid: `ses_${sessions}`, acr: "urn:sallyport:acr:mfa", amr: ["pwd", "otp"] },
    auth_time: Math.floor(bed.clock.now() / 1_000) - 30,
    ...over,
  };
  return (name: string, from = berlin, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
    portal.send(`${bed.addresses[0]?.url}/billing/v1/${name}`, {
      token: portal.token("billing", user),
      from: from ?? berlin,
      headers,
    });
}

test("the country is that of the connection; a header that claims another one changes nothing", async () => {
  const call = session();
  assert.equal((await call("at-home")).status, 200);
  const headers = { "x-forwarded-for": "127.0.0.1", "cf-ipcountry": "DE", forwarded: "for=127.0.0.1" };
  const refused = await call("at-home", sydney, headers);
  assert.deepEqual([refused.status, refused.code], [403, "policy-denied"]);
  assert.equal(last?.country, "AU", "and is in the inputs of the decision, which are sealed");
  assert.equal((await call("at-home", nowhere)).status, 403, "an address that is nowhere is not home");
});

test("attack: a stolen token used from the other side of the world within minutes is a risk, for both who hold it", async () => {
  const call = session();
  assert.equal((await call("low-risk")).status, 200);
  const thief = await call("low-risk", sydney);
  assert.deepEqual([thief.status, thief.code], [403, "policy-denied"]);
  assert.deepEqual([last?.risk, last?.riskFactors], [80, ["country-changed", "impossible-travel"]]);
  assert.equal((await call("low-risk", sydney)).status, 403, "coming again makes it no better");
  assert.equal((await call("low-risk")).status, 403, "nobody knows which of the two is the user");
  assert.equal((await session()("low-risk", sydney)).status, 200, "a new log-in is a new session");
});

test("a log-in's age, level and methods decide; a machine has none of them", async () => {
  assert.equal((await session()("fresh")).status, 200);
  assert.equal((await session({ auth_time: Math.floor(bed.clock.now() / 1_000) - 302 })("fresh")).status, 403);
  assert.equal((await session()("strong")).status, 200);
  assert.equal((await session({ acr: "urn:sallyport:acr:password", amr: ["pwd"] })("strong")).status, 403);
  assert.equal(
    (await session({ acr: "urn:sallyport:acr:phishing-resistant", amr: ["hwk", "user"] })("strong")).status,
    403,
  );
  const url = `${bed.addresses[0]?.url}/billing/v1`;
  for (const [name, status] of [
    ["fresh", 403],
    ["strong", 403],
    ["low-risk", 200],
    ["inside", 200],
  ] as const)
    assert.equal((await portal.send(`${url}/${name}`)).status, status, name);
});

test("a policy that reads the country without asking whether it is known breaks its operation: an error is a no", async () => {
  const refused = await session()("unguarded");
  assert.deepEqual([refused.status, refused.code], [403, "policy-error"]);
});

test("what no policy reads is not made, and is in no record", async () => {
  assert.equal((await session()("plain")).status, 200);
  assert.deepEqual(Object.keys(last ?? {}).toSorted(), [
    ...["acr", "authTime", "environment", "integration", "proof", "scopes", "stalenessMs", "subject", "zone"],
  ]);
  await session()("at-home");
  assert.deepEqual([last?.country, last?.risk, last?.amr], ["DE", undefined, undefined]);
});

test("a gateway without the file denies what wants a country, and passes what only fears one that is known", async () => {
  await bed.close();
  bed = await open(false);
  portal = new TestCaller(bed.feed, "portal", () => bed.clock.now());
  assert.equal((await session()("at-home")).status, 403);
  assert.equal((await session()("low-risk")).status, 200);
});
