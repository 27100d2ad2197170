import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { startEstate, type TestEstate } from "../estate.test-support.ts";
import { assertion, form, testKey } from "../issuer.test-support.ts";
import { bucketsMax, ClientThrottle, clientAttempts } from "./throttle.ts";

const { burst, everyMs } = clientAttempts;

describe("throttling of client authentication", () => {
  const at = { now: 1_800_000_000_000 };
  const make = () => new ClientThrottle({ now: () => at.now });
  const fail = (throttle: ClientThrottle, client: string | null, address: string, times = 1) => {
    let passed = 0;
    for (let count = 0; count < times; count += 1) if (throttle.enter(client, address).kind === "go") passed += 1;
    return passed;
  };

  test("failures are counted before they are judged: of a thousand at once a hundred get through, then one each second", () => {
    const throttle = make();
    assert.equal(fail(throttle, "shop", "192.0.2.1", 1_000), burst);
    assert.deepEqual(throttle.enter("shop", "192.0.2.1"), { kind: "wait", retryAfterSeconds: 1 });
    at.now += 3 * everyMs;
    assert.equal(fail(throttle, "shop", "192.0.2.1", 10), 3);
  });

  test("attack: a stranger elsewhere, with whatever many addresses, does not stop the client where it is", () => {
    const throttle = make();
    for (let host = 1; host < 255; host += 1) fail(throttle, "shop", `198.51.100.${host}`, 10);
    assert.equal(fail(throttle, "shop", "198.51.100.7"), 0);
    assert.equal(fail(throttle, "shop", "192.0.2.1"), 1);
    for (let host = 1; host < 255; host += 1) fail(throttle, "shop", `2001:db8:0:${host.toString(16)}::1`, 10);
    assert.equal(fail(throttle, "shop", "2001:db8:0:aa::1"), 0, "one /56 is one network");
    assert.equal(fail(throttle, "shop", "2001:db8:1::1"), 1);
  });

  test("attack: failures in the name of one client, or of nobody, do not stop another from the same network", () => {
    const throttle = make();
    fail(throttle, "shop", "192.0.2.1", 1_000);
    fail(throttle, null, "192.0.2.1", 1_000);
    assert.equal(fail(throttle, "orders", "192.0.2.1"), 1);
  });

  test("attack: made-up names get no more attempts than one", () => {
    const throttle = make();
    assert.equal(fail(throttle, null, "192.0.2.1", 1_000), burst);
  });

  test("who proves who it is, is never counted, however often it comes", () => {
    const throttle = make();
    for (let count = 0; count < 10 * burst; count += 1) {
      const pass = throttle.enter("shop", "192.0.2.1");
      assert.equal(pass.kind, "go");
      if (pass.kind === "go") pass.prove();
    }
    assert.equal(fail(throttle, "shop", "192.0.2.1", 1_000), burst);
  });

  test("attack: a flood from ever new networks costs bounded memory and frees nobody that was stopped just now", () => {
    const throttle = make();
    fail(throttle, "shop", "203.0.113.1", 1_000);
    for (let net = 0; net < 2 * bucketsMax; net += 1) fail(throttle, "shop", `10.${net >> 8}.${net & 255}.1`);
    assert.equal(fail(throttle, "shop", "203.0.113.1"), 1, "what was touched longest ago is forgotten");
    assert.equal(fail(throttle, "shop", "192.0.2.1", 1_000), burst);
    for (let net = 0; net < bucketsMax - 1; net += 1) fail(throttle, "shop", `10.${net >> 8}.${net & 255}.1`);
    assert.equal(fail(throttle, "shop", "192.0.2.1"), 0);
  });
});

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  before(async () => {
    const store = await open({ commands: new URL("../commands.test-support.ts", import.meta.url) });
    estate = await startEstate(store);
  });
  after(() => estate.close());

  test("a flood of forged assertions is 429 with Retry-After, recorded as floods are; other clients of the network go on", async () => {
    const { issuer, leaves, record } = estate.production;
    const forged = () => estate.post(issuer, form("orders", assertion("orders", issuer, testKey())).toString());
    const answers = await Promise.all(Array.from({ length: burst + 60 }, forged));
    const stopped = answers.filter(({ status }) => status === 429);
    assert.ok(stopped.length > 0);
    assert.ok(answers.every(({ status }) => status === 401 || status === 429));
    const [one] = stopped;
    assert.match(String(one?.headers["retry-after"]), /^[1-9]\d?$/);
    assert.deepEqual([one?.body["error"], one?.headers["cache-control"]], ["temporarily_unavailable", "no-store"]);
    const codes = leaves.flatMap((leaf) => (leaf.t === "issuance" ? [leaf.code] : []));
    assert.ok(codes.filter((code) => code === "client-throttled").length <= 8);
    assert.ok(codes.includes("client-throttled"));
    await record.flush();
    const right = form("analytics", assertion("analytics", issuer, estate.analytics)).toString();
    assert.notEqual((await estate.post(issuer, right)).status, 429);
  });
});
