import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openGeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import { geoFileBytes } from "@sallyport/kernel/geo/geo-file-bytes.test-support.ts";
import { assessRisk } from "@sallyport/kernel/geo/risk.ts";
import { distanceKm, SessionPlaces, sessionsMax } from "@sallyport/kernel/geo/session-places.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { createSignals } from "./signals.ts";

const berlin = { country: { iso_code: "DE" }, location: { latitude: 52.5, longitude: 13.4, accuracy_radius: 20 } };
const sydney = { country: { iso_code: "AU" }, location: { latitude: -33.9, longitude: 151.2, accuracy_radius: 20 } };
const networks = [
  { network: "203.0.113.0/24", record: berlin },
  { network: "198.51.100.0/24", record: sydney },
  { network: "192.0.2.0/25", record: { registered_country: { iso_code: "FR" } } },
  { network: "192.0.2.128/25", record: { country: { iso_code: "de" } } },
];
const geo = openGeoFile(geoFileBytes(networks));
const placeOf = (address: string) => geo.find(address) ?? assert.fail(`no place of ${address}`);
const [inBerlin, inSydney, inFrance] = ["203.0.113.9", "198.51.100.1", "192.0.2.1"].map(placeOf);
assert.ok(inBerlin && inSydney && inFrance);

describe("the file of places", () => {
  test("knows an address's country, and its point where it has one", () => {
    assert.deepEqual(inBerlin, { country: "DE", point: { latitude: 52.5, longitude: 13.4, radiusKm: 20 } });
    assert.deepEqual(inFrance, { country: "FR", point: null });
  });

  test("knows nothing of an address it has not, of what is no country, and of what is no address", () => {
    for (const address of ["10.0.0.1", "192.0.2.200", "", "203.0.113.9%eth0", "not an address", "203.0.113"])
      assert.equal(geo.find(address), null, address);
  });

  test("attack: in a file of IPv4 alone an IPv6 address does not pass for the IPv4 one that begins with its bits", () => {
    const only4 = openGeoFile(geoFileBytes(networks, 4));
    assert.equal(only4.find("203.0.113.9")?.country, "DE");
    assert.equal(only4.find("cb00:7109::1"), null);
  });

  test("is refused when it is none, or cut off", () => {
    const bytes = geoFileBytes(networks);
    for (const wrong of [Buffer.alloc(0), Buffer.from("<html>"), bytes.subarray(0, bytes.length - 200)])
      assert.throws(() => openGeoFile(Buffer.from(wrong)));
  });

  test("broken at one place it knows nothing there, and the rest still", () => {
    const bytes = geoFileBytes(networks);
    const at = bytes.indexOf("AU");
    // A pointer to itself in place of the country.
    Buffer.from([0x20, 0x00]).copy(bytes, at - 1);
    const broken = openGeoFile(bytes);
    assert.equal(broken.find("198.51.100.1"), null);
    assert.equal(broken.find("203.0.113.9")?.country, "DE");
  });
});

describe("what a gateway remembers of a session", () => {
  const hour = 3_600_000;

  test("the first country counts: whoever comes from another one does not become the session's by coming often", () => {
    const places = new SessionPlaces();
    assert.equal(places.see("s", inFrance, 0).countryChanged, false);
    for (let turn = 1; turn < 4; turn += 1)
      assert.equal(places.see("s", inBerlin, turn * 40 * hour).countryChanged, true);
    assert.equal(places.see("s", inFrance, 200 * hour).countryChanged, false);
    assert.equal(places.see("other", inBerlin, 0).countryChanged, false);
  });

  test("Berlin and Sydney within an hour is impossible, and stays so: nobody knows which of the two was the user", () => {
    const places = new SessionPlaces();
    places.see("s", inBerlin, 0);
    assert.equal(places.see("s", inSydney, hour).impossibleTravel, true);
    assert.equal(places.see("s", inBerlin, 90 * hour).impossibleTravel, true);
    assert.equal(places.see("s", null, 90 * hour).impossibleTravel, true, "also from an address that is nowhere");
  });

  test("with a day between, and where the file has no points, it is a journey", () => {
    const places = new SessionPlaces();
    places.see("s", inBerlin, 0);
    assert.equal(places.see("s", inSydney, 24 * hour).impossibleTravel, false);
    places.see("t", inFrance, 0);
    assert.equal(places.see("t", inSydney, 1).impossibleTravel, false);
  });

  test("a clock that goes back makes no speed negative", () => {
    const places = new SessionPlaces();
    places.see("s", inBerlin, 5 * hour);
    assert.equal(places.see("s", inSydney, 0).impossibleTravel, true);
  });

  test("it is bounded, and who was seen longest ago leaves", () => {
    const places = new SessionPlaces();
    for (let at = 0; at <= sessionsMax; at += 1) places.see(`s${at}`, inBerlin, at);
    assert.equal(places.size, sessionsMax);
    assert.equal(places.see("s1", inSydney, 40 * hour).countryChanged, true, "s0 left, not s1");
  });

  test("distances are those of a globe", () => {
    assert.ok(
      Math.abs(distanceKm({ latitude: 52.5, longitude: 13.4 }, { latitude: -33.9, longitude: 151.2 }) - 16_090) < 60,
    );
    assert.equal(distanceKm({ latitude: 1, longitude: 1 }, { latitude: 1, longitude: 1 }), 0);
  });
});

test("risk is the sum of the table's points, each by its name", () => {
  const quiet = {
    level: 2,
    ageSeconds: 60,
    seen: { countryChanged: false, impossibleTravel: false },
    isUnknownPlace: false,
  };
  const named = (over: Partial<Parameters<typeof assessRisk>[0]>) =>
    assessRisk({ ...quiet, ...over }).map(({ name, points }) => `${name} ${points}`);
  assert.deepEqual(named({}), []);
  assert.deepEqual(named({ level: 1 }), ["no-second-factor 20"]);
  assert.deepEqual(named({ ageSeconds: 8 * 3_600 }), []);
  assert.deepEqual(named({ ageSeconds: 8 * 3_600 + 1 }), ["old-log-in 10"]);
  assert.deepEqual(named({ ageSeconds: null }), ["old-log-in 10"]);
  assert.deepEqual(named({ isUnknownPlace: true }), ["place-unknown 10"]);
  assert.deepEqual(named({ seen: { countryChanged: true, impossibleTravel: true } }), [
    "country-changed 30",
    "impossible-travel 50",
  ]);
});

describe("signals", () => {
  const nowMs = 1_800_000_000_000;
  const user: Principal = {
    ...{ tenant: "main", environment: "production", caller: "portal", client: "portal", scopes: null, expiresAtMs: 0 },
    ...{
      subject: "usr_1",
      session: "ses_1",
      proof: { kind: "dpop" },
      acr: "urn:sallyport:acr:mfa",
      amr: ["pwd", "otp"],
    },
    authTime: nowMs / 1_000 - 90,
  };
  const { subject: _s, session: _i, acr: _c, amr: _m, authTime: _t, ...machine } = user;
  const from = (address: string) => ({ address, prefix: "", addressClass: "public-v4" as const });
  const source = () => createSignals({ geo, places: new SessionPlaces(), clock: { now: () => nowMs } });
  const all = ["amr", "authAge", "acrLevel", "addressClass", "country", "risk", "riskFactors"] as const;

  test("of a user are what the token proved and where the connection came from", () => {
    assert.deepEqual(source().of(all, { principal: user, source: from("203.0.113.9") }), {
      ...{
        amr: ["pwd", "otp"],
        authAge: 90,
        acrLevel: 2,
        addressClass: "public-v4",
        country: "DE",
        risk: 0,
        riskFactors: [],
      },
    });
  });

  test("of a machine there is no log-in and no risk of one", () => {
    const signals = source().of(all, { principal: machine, source: from("203.0.113.9") });
    assert.deepEqual(signals, { acrLevel: 0, addressClass: "public-v4", country: "DE" });
  });

  test("a log-in in the issuer's future is of now, and a level that is none of ours is none", () => {
    const odd = { ...user, authTime: nowMs / 1_000 + 500, acr: "urn:other:mfa" };
    const { authAge, acrLevel, riskFactors } = source().of(all, { principal: odd, source: from("203.0.113.9") });
    assert.deepEqual([authAge, acrLevel, riskFactors], [0, 0, ["no-second-factor"]]);
  });

  test("only those asked for are made: nothing is remembered of a session for a policy that asks for its country", () => {
    const places = new SessionPlaces();
    const signals = createSignals({ geo, places, clock: { now: () => nowMs } });
    assert.deepEqual(signals.of(["country"], { principal: user, source: from("203.0.113.9") }), { country: "DE" });
    assert.equal(places.size, 0);
  });

  test("without a file there is no country, and an address that it could have known is not held against anybody", () => {
    const signals = createSignals({ geo: null, places: new SessionPlaces(), clock: { now: () => nowMs } });
    const made = signals.of(all, { principal: user, source: from("203.0.113.9") });
    assert.deepEqual([made.country, made.risk], [undefined, 0]);
    assert.deepEqual(source().of(["riskFactors"], { principal: user, source: from("8.8.8.8") }), {
      riskFactors: ["place-unknown"],
    });
  });
});
