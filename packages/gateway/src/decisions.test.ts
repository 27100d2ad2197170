import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import type { RevocationKind } from "@sallyport/protocol/channel/messages.ts";
import type { AttributeSource } from "@sallyport/protocol/snapshot/objects.ts";
import { Admission, defaultAdmissionLimits } from "./admit/admission.ts";
import { sourceOf } from "./admit/source-prefix.ts";
import { resolveAttributes } from "./authorize/attributes.ts";
import { decideStaleness } from "./authorize/staleness.ts";
import { continueTrace } from "./forward/traceparent.ts";
import { readCredentials } from "./identify/credentials.ts";
import { createNonces, nonceStepMs } from "./identify/nonce.ts";
import { allocateReplaySet, openReplaySet } from "./identify/replay-set.ts";
import { TokenCache } from "./identify/token-cache.ts";
import { exactIntegersOf, readExactIntegers } from "./inspect/deciding-members.ts";
import { readJson } from "./inspect/json.ts";
import { allocateRateTable, decideRate, openRateTable } from "./limit/gcra.ts";
import { contentRefusal, headRefusal, timeoutRefusal } from "./listen/parse-error.ts";
import { pipelineTable } from "./pipeline.ts";
import { createCrossingIds } from "./record/crossing-id.ts";
import { outcomeOf } from "./record/settle.ts";
import { buildRouter, segmentsOf } from "./route/router.ts";
import { Revocations } from "./snapshot/revocations.ts";

/** Random bytes from a seed, the same on every run. */
function seeded(seed: number) {
  let state = seed >>> 0;
  return {
    bytes(length: number) {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        out[i] = state >>> 24;
      }
      return out;
    },
  };
}

const key = seeded(1).bytes(32);

describe("the pipeline", () => {
  test("has the order of DESIGN §4, with record before and after forward", () => {
    assert.deepEqual(
      pipelineTable.map((row) => row.stage),
      [
        "receive",
        "admit",
        "route",
        "identify",
        "bind",
        "limit",
        "authorize",
        "inspect",
        "idempotency",
        "record",
        "exchange",
        "forward",
        "record",
      ],
    );
  });
});

describe("route", () => {
  const operation = (name: string, method: string, path: string) => ({ name, method, path });
  const system = (id: string, path: string, operations: ReturnType<typeof operation>[], host?: string) => ({
    id,
    public: { path, strip: true, ...(host === undefined ? {} : { host }) },
    operations,
  });
  const router = buildRouter<ReturnType<typeof operation>, ReturnType<typeof system>>([
    system("billing", "/billing", [
      operation("read", "GET", "/v1/{id}"),
      operation("list", "GET", "/v1/all"),
      operation("deep", "GET", "/v1/all/{x}/y"),
      operation("any", "POST", "/{a}/{b}"),
    ]),
    system("root", "/", [operation("home", "GET", "/"), operation("billing-x", "GET", "/billing/zzz")]),
    system("named", "/billing", [operation("other", "GET", "/v1/{id}")], "api.example"),
  ]);
  const cases: readonly [string, string, string, string, string][] = [
    ["h", "GET", "/billing/v1/7", "billing:read", "7"],
    ["h", "GET", "/billing/v1/all", "billing:list", ""],
    ["h", "GET", "/billing/v1/all/7/y", "billing:deep", "7"],
    ["h", "HEAD", "/billing/v1/7", "billing:read", "7"],
    ["h", "POST", "/billing/v1/7", "billing:any", "v1,7"],
    ["h", "DELETE", "/billing/v1/7", "billing:-", ""],
    ["h", "GET", "/billing/zzz", "billing:-", ""],
    ["h", "GET", "/", "root:home", ""],
    ["api.example", "GET", "/billing/v1/7", "named:other", "7"],
    ["api.example", "GET", "/", "root:home", ""],
  ];
  for (const [host, method, path, expected, values] of cases) {
    test(`${method} ${host}${path} is ${expected}`, () => {
      const match = router.find(host, method, segmentsOf(path));
      assert.equal(`${match.system?.id}:${match.operation?.name ?? "-"}`, expected);
      assert.equal(Object.values(match.parameters).join(","), values);
    });
  }
});

describe("attributes are typed strictly or missing", () => {
  const source = (
    from: AttributeSource["from"],
    type: AttributeSource["type"],
    name = "x",
  ): Record<string, AttributeSource> => ({ a: { from, name, type } });
  const none = { parameters: {}, query: {}, headers: {}, body: undefined };
  const cases: readonly [string, Record<string, AttributeSource>, object, unknown][] = [
    ["path text", source("path", "string"), { parameters: { x: "eu" } }, "eu"],
    ["query long", source("query", "long"), { query: { x: ["-12"] } }, -12],
    ["query long beyond 2^53", source("query", "long"), { query: { x: ["9007199254740993"] } }, undefined],
    ["query long with a sign", source("query", "long"), { query: { x: ["+1"] } }, undefined],
    ["negative zero", source("query", "long"), { query: { x: ["-0"] } }, undefined],
    ["query twice", source("query", "string"), { query: { x: ["a", "b"] } }, undefined],
    ["header boolean", source("header", "boolean", "X"), { headers: { x: ["true"] } }, true],
    ["header boolean by another word", source("header", "boolean", "X"), { headers: { x: ["yes"] } }, undefined],
    ["body path", source("body", "long", "$.a.b"), { body: { a: { b: 3 } } }, 3],
    ["body text where a long is declared", source("body", "long", "$.a"), { body: { a: "3" } }, undefined],
    ["body inherited member", source("body", "string", "$.constructor"), { body: {} }, undefined],
    ["body array", source("body", "string", "$.a.0"), { body: { a: ["x"] } }, undefined],
    ["body path of another form", source("body", "string", "$..a"), { body: { a: "x" } }, undefined],
  ];
  for (const [name, declared, inputs, expected] of cases) {
    test(name, () => {
      const resolved = resolveAttributes(declared, { ...none, ...inputs });
      if (expected === undefined) assert.ok(resolved.kind === "deny" && resolved.code === "attribute-missing");
      else assert.deepEqual(resolved, { kind: "resolved", values: { a: expected } });
    });
  }
});

describe("staleness", () => {
  const boundsMs = { public: 300_000, internal: 300_000, confidential: 300_000, restricted: 3_000 };
  const cases: readonly [number, "internal" | "restricted", "bound" | "until-expiry", boolean, boolean][] = [
    [3_000, "restricted", "bound", false, true],
    [3_001, "restricted", "bound", false, false],
    [300_001, "internal", "bound", false, false],
    [9e9, "restricted", "until-expiry", false, true],
    [0, "internal", "until-expiry", true, false],
    [Number.POSITIVE_INFINITY, "internal", "bound", false, false],
  ];
  for (const [stalenessMs, classification, offline, snapshotExpired, passes] of cases) {
    test(`${stalenessMs} ms, ${classification}, ${offline}, expired ${snapshotExpired}: ${passes ? "passes" : "stale"}`, () => {
      assert.equal(
        decideStaleness({ stalenessMs, boundsMs, classification, offline, snapshotExpired }) === null,
        passes,
      );
    });
  }
});

describe("strict JSON", () => {
  const cases: readonly [string, string | null][] = [
    ['{"a":{"b":[1,{"c":2}]},"d":"}"}', null],
    ['{"a":1,"\\u0061":2}', "duplicate name"],
    ['[{"a":1},{"a":2}]', null],
    ['{"a":"x","b":{"a":1,"a":2}}', "duplicate name"],
    ['{"a":{"__proto__":1}}', "forbidden name"],
    ['{"\\u005f_proto__":1}', "forbidden name"],
    ['["__proto__"]', null],
    ['"\\ud800"', "lone surrogate"],
    ["\ufeff{}", "not JSON"],
    [`${"[".repeat(64)}${"]".repeat(64)}`, null],
    [`${"[".repeat(65)}${"]".repeat(65)}`, "too deep"],
    ['{"a":1}x', "not JSON"],
  ];
  for (const [text, why] of cases) {
    test(`${text.slice(0, 40)}: ${why ?? "one reading"}`, () => {
      const reading = readJson(Buffer.from(text, "utf8"));
      assert.equal(reading.ok ? null : reading.why, why);
    });
  }
});

describe("nonces", () => {
  const nonces = createNonces(key, { node: "gw-1", epoch: "e1" });
  const now = 1_000 * nonceStepMs + 5;
  test("the running step's and the one before are accepted, older and foreign ones are not", () => {
    const nonce = nonces.current(now);
    assert.equal(nonces.stepOf(nonce, now), 1_000);
    assert.equal(nonces.stepOf(nonce, now + nonceStepMs), 1_000);
    assert.equal(nonces.stepOf(nonce, now + 2 * nonceStepMs), null);
    assert.equal(createNonces(key, { node: "gw-2", epoch: "e1" }).stepOf(nonce, now), null);
    assert.equal(createNonces(key, { node: "gw-1", epoch: "e2" }).stepOf(nonce, now), null);
  });
});

describe("replay set", () => {
  test("a full table refuses instead of forgetting, and the next step starts empty", () => {
    const set = openReplaySet(allocateReplaySet(128), key);
    const burns = Array.from({ length: 129 }, (_, i) => set.burn(7, i % 2 === 0 ? "k" : "l", `jti-${i}`));
    assert.equal(burns.filter((burn) => burn === "fresh").length, 128);
    assert.equal(burns.at(-1), "full");
    assert.equal(set.burn(7, "k", "jti-0"), "replayed");
    assert.equal(set.burn(8, "k", "jti-0"), "fresh");
    assert.equal(set.burn(10, "k", "jti-0"), "fresh", "step 7's table is cleared for step 10");
    assert.equal(set.burn(7, "l", "jti-1"), "full", "and step 7 can never be used again");
  });

  test("one key that burns as fast as it can shuts no other key out, and its own replays are still told", () => {
    const set = openReplaySet(allocateReplaySet(1024), key);
    const greedy = Array.from({ length: 2_000 }, (_, i) => set.burn(7, "greedy", `jti-${i}`));
    assert.equal(greedy.filter((burn) => burn === "fresh").length, 512);
    assert.equal(greedy.at(-1), "full");
    assert.equal(set.burn(7, "greedy", "jti-0"), "replayed");
    for (let i = 0; i < 300; i++) assert.equal(set.burn(7, "honest", `jti-${i}`), "fresh");
    assert.equal(set.burn(8, "greedy", "jti-0"), "fresh", "a share is one step's");
    assert.equal(set.burn(10, "greedy", "jti-0"), "fresh", "and is cleared with its table");
  });

  test("where an id falls is a secret of the node: another key puts it elsewhere, the same key of another thread in the same place", () => {
    const burnt = (secret: Uint8Array) => {
      const memory = allocateReplaySet(1024);
      openReplaySet(memory, secret).burn(7, "k", "jti-1");
      return Buffer.from(memory).toString("base64url");
    };
    assert.equal(burnt(key), burnt(key));
    const other = Uint8Array.from(key);
    other[31] = (other[31] ?? 0) ^ 1;
    assert.notEqual(burnt(other), burnt(key));
  });

  test("threads racing the same ids burn each exactly once", async () => {
    const memory = allocateReplaySet(4096);
    const source = `
      const { workerData, parentPort } = require("node:worker_threads");
      import(workerData.module).then(({ openReplaySet }) => {
        const set = openReplaySet(workerData.memory, workerData.key);
        let fresh = 0;
        for (let i = 0; i < 1000; i++) if (set.burn(3, "k", "jti-" + i) === "fresh") fresh++;
        parentPort.postMessage(fresh);
      });`;
    const module = new URL("./identify/replay-set.ts", import.meta.url).href;
    const counts = await Promise.all(
      [1, 2].map(
        () =>
          new Promise<number>((resolve, reject) => {
            const worker = new Worker(source, { eval: true, workerData: { module, memory, key } });
            worker.once("message", resolve).once("error", reject);
          }),
      ),
    );
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      1000,
    );
  });
});

describe("rate limit", () => {
  const rule = { rate: 10, periodMs: 1_000, burst: 5 };
  test("a burst passes, the next one waits exactly one interval, and over time the rate holds", () => {
    const limiter = openRateTable(allocateRateTable(64), key);
    const counted = limiter.key("one");
    const at = (ms: number) => limiter.take(counted, rule, ms);
    for (let i = 0; i < 5; i++) assert.equal(at(1_000)?.allowed, true);
    const refused = at(1_000);
    assert.deepEqual([refused?.allowed, refused?.retryAfterMs], [false, 100]);
    assert.equal(at(1_099)?.allowed, false);
    assert.equal(at(1_100)?.allowed, true);
    let passed = 0;
    for (let ms = 2_000; ms < 12_000; ms += 7) if (at(ms)?.allowed) passed++;
    assert.ok(passed >= 100 && passed <= 106, `${passed} in ten seconds`);
  });

  test("a refund gives the permit back", () => {
    const limiter = openRateTable(allocateRateTable(64), key);
    const counted = limiter.key("one");
    const one = { ...rule, burst: 1 };
    assert.equal(limiter.take(counted, one, 1_000)?.allowed, true);
    assert.equal(limiter.take(counted, one, 1_000)?.allowed, false);
    limiter.refund(counted, one);
    assert.equal(limiter.take(counted, one, 1_000)?.allowed, true);
  });

  test("a table full of busy counters refuses newcomers, and idle ones make room", () => {
    const limiter = openRateTable(allocateRateTable(64), key);
    for (let i = 0; i < 64; i++) assert.ok(limiter.take(limiter.key(`k${i}`), rule, 1_000));
    assert.equal(limiter.take(limiter.key("new"), rule, 1_000), null);
    assert.ok(limiter.take(limiter.key("new"), rule, 60_000));
  });

  test("more waiting never allows less", () => {
    const random = seeded(9);
    for (let i = 0; i < 500; i++) {
      const [a = 0, b = 0, c = 0] = random.bytes(3);
      const tat = a * 10_000;
      const now = b * 10_000;
      const early = decideRate(tat, now, rule);
      const late = decideRate(tat, now + c * 1_000, rule);
      assert.ok(!early.allowed || late.allowed);
    }
  });
});

describe("admission", () => {
  const clock = { shift: 0, now: () => 0, monotonic: () => clock.shift };
  const limits = {
    ...defaultAdmissionLimits,
    inFlightMax: 3,
    inFlightPerPrefixMax: 2,
    requestsPerPrefixMax: 5,
    badCredentialsPerPrefixMax: 2,
  };
  test("each bound holds, per prefix and over all, and windows end", () => {
    const admission = new Admission(limits, clock);
    assert.equal(admission.enter("a"), null);
    assert.equal(admission.enter("a"), null);
    assert.equal(admission.enter("a")?.code, "too-many-from-source");
    assert.equal(admission.enter("b"), null);
    assert.equal(admission.enter("c")?.code, "overloaded");
    admission.leave("a");
    admission.countBadCredential("c");
    admission.countBadCredential("c");
    assert.equal(admission.enter("c")?.code, "too-many-from-source");
    clock.shift += limits.badCredentialsPauseMs - 1;
    assert.equal(admission.enter("c")?.facts["retryAfterS"], "1");
    clock.shift += 1;
    assert.equal(admission.enter("c"), null);
    assert.equal(admission.inFlight, 3);
  });

  test("a crowd of networks that each come once locks no newcomer out, and no busy one is forgotten", () => {
    const admission = new Admission({ ...defaultAdmissionLimits, prefixesMax: 8, inFlightPerPrefixMax: 1 }, clock);
    assert.equal(admission.enter("busy"), null);
    for (let i = 0; i < 100; i++) {
      assert.equal(admission.enter(`once-${i}`), null);
      admission.leave(`once-${i}`);
    }
    assert.equal(admission.enter("honest"), null);
    assert.equal(admission.enter("busy")?.code, "too-many-from-source");
    for (let i = 0; i < 6; i++) assert.equal(admission.enter(`held-${i}`), null);
    assert.equal(admission.enter("one too many")?.code, "overloaded");
    admission.leave("honest");
    assert.equal(admission.enter("now there is room"), null);
    assert.equal(admission.inFlight, 8);
  });
});

describe("small parts", () => {
  test("source prefixes are /24 and /48, and mapped IPv4 is IPv4", () => {
    assert.equal(sourceOf("203.0.113.9").prefix, sourceOf("::ffff:203.0.113.77").prefix);
    assert.equal(sourceOf("2001:db8:1:ff00::1").prefix, sourceOf("2001:db8:1:1::2").prefix);
    assert.notEqual(sourceOf("2001:db8:1::1").prefix, sourceOf("2001:db8:2::1").prefix);
    assert.deepEqual(
      ["127.0.0.1", "::1", "10.1.1.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1", undefined].map(
        (one) => sourceOf(one).addressClass,
      ),
      ["loopback", "loopback", "private", "private", "public-v4", "private", "public-v6", "other"],
    );
  });

  test("credentials have one reading", () => {
    assert.deepEqual(readCredentials(), { kind: "none" });
    assert.equal(readCredentials(["dpop a.b.c"], ["p"]).kind, "token");
    for (const bad of [["Basic x"], ["DPoP"], ["Bearer a b"], ["Bearer a", "Bearer b"]])
      assert.equal(readCredentials(bad).kind, "malformed");
    assert.equal(readCredentials([], ["p"]).kind, "malformed");
  });

  test("traceparent: only a valid one is continued", () => {
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert.ok(continueTrace(`00-${trace}-00f067aa0ba902b7-01`, seeded(2)).startsWith(`00-${trace}-`));
    for (const bad of [
      `ff-${trace}-00f067aa0ba902b7-01`,
      `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
      `00-${trace}-${"0".repeat(16)}-01`,
      `00-${trace}-00f067aa0ba902b7-01-x`,
      "x",
      undefined,
    ]) {
      assert.ok(!continueTrace(bad, seeded(2)).includes(trace));
    }
  });

  test("crossing ids sort by time and never repeat", () => {
    let now = 1_000;
    const next = createCrossingIds("gw-1", { now: () => now }, seeded(3));
    const first = next();
    now++;
    const ids = Array.from({ length: 1_000 }, next);
    assert.match(first, /^gw-1-[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
    assert.equal(new Set(ids).size, 1_000);
    assert.ok(ids.every((id) => id > first));
  });

  test("a crossing id is the ULID of its instant and its random octets", () => {
    const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    const octets = Uint8Array.from({ length: 2_560 }, (_, i) =>
      i < 10 ? 0 : i < 20 ? 255 : (i * 37 + (i >> 3)) & 255,
    );
    let drawn = 0;
    const random = {
      bytes: (length: number) => {
        drawn += length;
        return octets.slice(drawn - length, drawn);
      },
    };
    const atMs = 1_795_305_600_123;
    const next = createCrossingIds("gw-1", { now: () => atMs }, random);
    for (let i = 0; i < 256; i++) {
      const own = Buffer.from(octets.subarray(i * 10, i * 10 + 10)).toString("hex");
      let value = (BigInt(atMs) << 80n) | BigInt(`0x${own}`);
      let ulid = "";
      for (let at = 0; at < 26; at++, value >>= 5n) ulid = `${alphabet[Number(value & 31n)]}${ulid}`;
      assert.equal(next(), `gw-1-${ulid}`);
    }
  });

  test("a JSON text whose numbers are all plain integers reads the same with and without a look at each literal, and no other passes for one", () => {
    const literals = [
      "0",
      "7",
      "-7",
      "10",
      "9007199254740993",
      "-0",
      "1.0",
      "-0.5",
      "1e2",
      "1E2",
      "1e+2",
      "0e0",
      "0E-1",
      "100.000000000000001",
    ];
    const isPlain = (literal: string) => /^(?:0|-?[1-9][0-9]*)$/.test(literal);
    const shapes = [
      (n: string) => n,
      (n: string) => ` { "a" : ${n} } `,
      (n: string) => `{"a":{"b":[true,false,null,-1.5],"c":${n}}}`,
      (n: string) => `{"a":"1.5 -0 1e5","e":false,"E":[],"x":${n}}`,
      (n: string) => `[0.5,[1e3]]${n}`.replace(/^(.*\])(.*)$/, '{"list":$1,"after":$2}'),
      (n: string) => `{"\\"":"\\\\","a.b":${n}}`,
    ];
    for (const shape of shapes) {
      for (const literal of literals) {
        const bytes = Buffer.from(shape(literal));
        const reading = readJson(bytes);
        assert.ok(reading.ok);
        assert.equal(reading.hasPlainNumbers, isPlain(literal), shape(literal));
        const body = { bytes, value: reading.value, hasPlainNumbers: reading.hasPlainNumbers };
        assert.deepEqual(exactIntegersOf(body), readExactIntegers(bytes), shape(literal));
        assert.deepEqual(longsIn(exactIntegersOf(body)), longsIn(byLiteral(bytes)), shape(literal));
        assert.equal(bytes.toString(), shape(literal), "the octets that go on are those that came");
      }
    }
  });

  /** What a reader makes of it that is shown every literal. */
  function byLiteral(bytes: Uint8Array): unknown {
    const shown = (_name: string, value: unknown, context?: { readonly source?: string }): unknown =>
      typeof value === "number" && !/^(?:0|-?[1-9][0-9]*)$/.test(context?.source ?? "") ? Number.NaN : value;
    return JSON.parse(Buffer.from(bytes).toString("utf8"), shown);
  }

  /** Every long that an attribute could be: along members, never in a list. */
  function longsIn(value: unknown, at = "$"): readonly string[] {
    if (typeof value === "number") return Number.isSafeInteger(value) ? [`${at}=${value}`] : [];
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
    return Object.entries(value).flatMap(([name, member]) => longsIn(member, `${at}.${name}`));
  }

  test("outcomes by status", () => {
    const operation = { object: { businessErrors: [404] } } as unknown as Parameters<typeof outcomeOf>[0]; // only this member is read
    assert.deepEqual(
      [200, 404, 400, 500, 503].map((status) => outcomeOf(operation, status)),
      ["success", "business-error", "success", "system-error", "system-error"],
    );
  });

  test("the token cache is bounded and keeps what is used", () => {
    const cache = new TokenCache<number>(10);
    cache.put("hot", 1);
    for (let i = 0; i < 100; i++) {
      cache.put(`cold-${i}`, i);
      assert.equal(cache.find("hot"), 1);
      assert.ok(cache.size <= 11);
    }
    assert.equal(cache.find("cold-0"), undefined);
  });

  test("parser errors: each part of a head has its own refusal, and inside content every fault is bad framing", () => {
    assert.equal(headRefusal("target").code, "bad-request-line");
    assert.equal(headRefusal("version").code, "bad-version");
    assert.equal(headRefusal("field-name").code, "bad-header");
    assert.equal(headRefusal("both-framings").code, "bad-framing");
    assert.equal(headRefusal("too-many-fields").code, "header-too-large");
    assert.equal(contentRefusal("trailer").code, "bad-framing");
    assert.equal(timeoutRefusal("content").code, "request-timeout");
  });

  test("revocations: a grant and a session are dead by their id, a subject by the time of issue; a kind of a newer control is not passed over", () => {
    const revocations = new Revocations();
    const entry = (seq: number, kind: RevocationKind) => ({ seq, kind, value: "x", notBefore: 1_000, until: 9_000 });
    const entries = [entry(1, "grant"), entry(2, "session"), entry(3, "subject")];
    assert.equal(revocations.take({ from: 1, through: 3 }, entries, 0), "taken");
    assert.equal(revocations.isRevoked("grant", "x", 5_000), true);
    assert.equal(revocations.isRevoked("session", "x", 5_000), true);
    assert.equal(revocations.isRevoked("subject", "x", 1_000), true);
    assert.equal(revocations.isRevoked("subject", "x", 1_001), false);
    // What JSON may hold and the type does not.
    const newer = { ...entry(4, "grant"), kind: "moon-phase" as RevocationKind };
    assert.equal(revocations.take({ from: 4, through: 4 }, [newer], 0), "unknown-kind");
    assert.equal(revocations.seq, 3);
  });

  test("revocations: ranges without a gap, kept until their end", () => {
    const revocations = new Revocations();
    const entry = (seq: number, until: number) => ({
      seq,
      kind: "client" as const,
      value: `c${seq}`,
      notBefore: 1_000,
      until,
    });
    assert.equal(revocations.take({ from: 1, through: 1 }, [entry(1, 5_000)], 0), "taken");
    assert.equal(revocations.take({ from: 3, through: 3 }, [entry(3, 5_000)], 0), "gap");
    assert.equal(revocations.isRevoked("client", "c1", 1_000), true);
    assert.equal(revocations.isRevoked("client", "c1", 1_001), false);
    assert.equal(revocations.take({ from: 2, through: 2 }, [entry(2, 9_000)], 6_000), "taken");
    assert.equal(revocations.isRevoked("client", "c1", 1_000), false, "ended");
    assert.deepEqual([revocations.seq, revocations.size], [2, 1]);
  });
});
