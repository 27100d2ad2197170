import assert from "node:assert/strict";
import { test } from "node:test";
import { openGeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import { geoFileBytes } from "@sallyport/kernel/geo/geo-file-bytes.test-support.ts";
import { tokenSignalNames } from "@sallyport/kernel/policy/token-signals.ts";
import type { SubjectFacts } from "../mint.ts";
import { createIssuanceSignals } from "./issuance-signals.ts";

const berlin = { country: { iso_code: "DE" }, location: { latitude: 52.5, longitude: 13.4, accuracy_radius: 20 } };
const sydney = { country: { iso_code: "AU" }, location: { latitude: -33.9, longitude: 151.2, accuracy_radius: 20 } };
const geo = openGeoFile(
  geoFileBytes([
    { network: "193.99.144.0/24", record: berlin },
    { network: "1.1.1.0/24", record: sydney },
  ]),
);
// Public ones: of others nobody asks whether a file has them.
const [inBerlin, inSydney, nowhere] = ["193.99.144.9", "1.1.1.1", "93.184.216.34"];
let now = Date.parse("2026-11-22T00:00:00Z");
const clock = { now: () => now };
const seconds = () => Math.floor(now / 1_000);
const user = (over: Partial<SubjectFacts> = {}): SubjectFacts => ({
  ...{ id: "usr_ana", session: "ses_1", acr: "urn:sallyport:acr:mfa", authTime: seconds() - 60 },
  ...over,
});
const all = tokenSignalNames;

test("what policies read is made and nothing else; of a machine there is a country and no risk", () => {
  const signals = createIssuanceSignals({ geo, clock });
  const machine = { client: "orders", address: inBerlin };
  assert.deepEqual(signals.of(all, machine), { country: "DE" });
  assert.deepEqual(signals.of([], machine), {});
  const asked = { client: "portal", address: inBerlin, subject: user() };
  assert.deepEqual(signals.of(all, asked), { country: "DE", authAge: 60, risk: 0, riskFactors: [] });
  assert.deepEqual(signals.of(["authAge"], asked), { authAge: 60 });
  assert.deepEqual(signals.of(["risk"], asked), { risk: 0 });
  assert.deepEqual(signals.of(["riskFactors"], asked), { riskFactors: [] });
  assert.deepEqual(signals.of(["country"], asked), { country: "DE" });
  assert.deepEqual(signals.of(all, { ...asked, subject: user({ authTime: seconds() + 30 }) })["authAge"], 0);
});

test("risk is the sum of a gateway's factors, at most 100", () => {
  const signals = createIssuanceSignals({ geo, clock });
  const of = (address: string | null, subject: SubjectFacts, client = "portal") =>
    signals.of(["risk", "riskFactors"], { client, address, subject });
  const weak = { id: "usr_bo", session: "ses_2" };
  assert.deepEqual(of(nowhere, weak), { risk: 40, riskFactors: ["no-second-factor", "old-log-in", "place-unknown"] });
  assert.deepEqual(of(null, weak), { risk: 30, riskFactors: ["no-second-factor", "old-log-in"] });
  assert.deepEqual(of("10.0.0.1", user()), { risk: 0, riskFactors: [] }, "no file has private addresses");
  assert.deepEqual(of(inBerlin, weak)["risk"], 30);
  now += 60_000;
  assert.deepEqual(of(inSydney, weak), {
    risk: 100,
    riskFactors: ["no-second-factor", "old-log-in", "country-changed", "impossible-travel"],
  });
  // Back where it was first seen, in time enough.
  now += 24 * 3_600_000;
  const stays = { risk: 80, riskFactors: ["no-second-factor", "old-log-in", "impossible-travel"] };
  assert.deepEqual(of(inBerlin, weak), stays, "it stays with the session");
});

test("a session's clients stand where they stand: the place of one says nothing of another's", () => {
  const signals = createIssuanceSignals({ geo, clock });
  const of = (client: string, address: string) => signals.of(["risk"], { client, address, subject: user() });
  assert.deepEqual(of("portal", inBerlin), { risk: 0 });
  assert.deepEqual(of("tv", inSydney), { risk: 0 });
  assert.deepEqual(of("portal", inSydney), { risk: 80 });
});

test("the place of one session says nothing of another of the same user, nor that of a user without one of another user's", () => {
  const signals = createIssuanceSignals({ geo, clock });
  const of = (address: string, session: Partial<SubjectFacts>) => {
    const { session: _, ...log } = user();
    return signals.of(["risk"], { client: "portal", address, subject: { ...log, ...session } });
  };
  assert.deepEqual(of(inBerlin, { session: "ses_1" }), { risk: 0 });
  assert.deepEqual(of(inSydney, { session: "ses_2" }), { risk: 0 });
  assert.deepEqual(of(inSydney, { session: "ses_1" }), { risk: 80 });
  assert.deepEqual(of(inBerlin, { id: "usr_bo" }), { risk: 0 });
  assert.deepEqual(of(inSydney, { id: "usr_cy" }), { risk: 0 });
  assert.deepEqual(of(inSydney, { id: "usr_bo" }), { risk: 80 });
});

test("who had the time to travel changed the country and nothing more", () => {
  const signals = createIssuanceSignals({ geo, clock });
  const of = (address: string) =>
    signals.of(["riskFactors"], { client: "portal", address, subject: user({ session: "ses_3" }) });
  assert.deepEqual(of(inBerlin), { riskFactors: [] });
  now += 24 * 3_600_000;
  assert.deepEqual(of(inSydney), { riskFactors: ["country-changed"] });
});

test("without a file nobody knows a country, and no place is unknown", () => {
  const signals = createIssuanceSignals({ geo: null, clock });
  assert.deepEqual(signals.of(all, { client: "portal", address: nowhere, subject: user() }), {
    authAge: 60,
    risk: 0,
    riskFactors: [],
  });
});
