// What may be said of a provider's failures, what it becomes for gateways, and what saying nothing means (docs/resilience.md).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SystemConfig } from "./estate.ts";
import { formatFinding } from "./finding.ts";
import { defaultResilience, placesOf } from "./read-resilience.ts";
import { load, soundEstate } from "./sound-estate.ts";

const reading = "operations:\n  invoice.read: GET /v1/invoices/{id}\n";
const systemWith = (lines: string) => ({
  ...soundEstate(),
  "systems/billing.yaml": `system: billing\n${lines}\n${reading}`,
});
const upstreamOf = (lines: string): NonNullable<SystemConfig["upstream"]> => {
  const { estate, findings } = load(systemWith(lines));
  const upstream = estate.environments[0]?.systems.find(({ id }) => id === "billing")?.upstream;
  assert.ok(upstream !== undefined, findings.map(formatFinding).join("\n"));
  return upstream;
};
const saidOf = (lines: string): string => load(systemWith(lines)).findings.map(formatFinding).join("\n");
const url = "url: https://billing.acme.example";

describe("resilience in a system file", () => {
  test("what is not said, or said as it is by default, says nothing in the estate: an upgrade changes no object", () => {
    for (const said of [
      "",
      "retries: {}",
      "breaker: { failures: 5 }",
      "timeouts: { connect: 5s }",
      'retries: { budget: "20%" }',
    ])
      assert.deepEqual(
        upstreamOf(`${url}\n${said}`),
        { url: "https://billing.acme.example", allowPrivate: false },
        said,
      );
  });

  test("the defaults: one retry inside a fifth, five failures in a row, and a share only where there are several endpoints", () => {
    assert.deepEqual(defaultResilience(1), {
      retries: { attempts: 2, budget: 0.2, least: 10 },
      breaker: { failures: 5, requests: 20, openMs: 5_000, openMsMax: 60_000 },
      connectMs: 5_000,
    });
    assert.equal(defaultResilience(2).breaker?.share, 0.5);
  });

  test("`none` takes retries or the breaker away, and leaves the rest", () => {
    const { resilience } = upstreamOf(`${url}\nretries: none`);
    assert.equal(resilience?.retries, undefined);
    assert.ok(resilience?.breaker !== undefined);
    assert.equal(upstreamOf(`${url}\nbreaker: none`).resilience?.breaker, undefined);
  });

  test("everything that may be said arrives", () => {
    const { resilience, endpoints } = upstreamOf(`endpoints:
  - https://one.acme.example
  - { url: "https://two.acme.example/api/", weight: 3 }
timeouts: { connect: 1s, attempt: 2s }
retries: { attempts: 3, budget: 10%, least: 0 }
breaker: { failures: 7, share: 30%, requests: 50, pause: 2s, longest: 30s }
health: { path: /healthz, every: 5s }
inFlight: { total: 100, each: 60, waiting: 5, wait: 200ms }`);
    assert.deepEqual(endpoints, [
      { url: "https://one.acme.example", weight: 1 },
      { url: "https://two.acme.example/api", weight: 3 },
    ]);
    assert.deepEqual(resilience, {
      retries: { attempts: 3, budget: 0.1, least: 0 },
      breaker: { failures: 7, share: 0.3, requests: 50, openMs: 2_000, openMsMax: 30_000 },
      connectMs: 1_000,
      attemptMs: 2_000,
      health: { path: "/healthz", everyMs: 5_000, timeoutMs: 2_000, failures: 3, successes: 2 },
      inFlight: { total: 100, each: 60, waiting: 5, waitMs: 200 },
    });
  });

  test("an estate stored before there were endpoints has one place", () => {
    assert.deepEqual(placesOf({ url: "https://a.example", allowPrivate: false }), [
      { url: "https://a.example", weight: 1 },
    ]);
  });

  for (const [lines, message] of [
    [`${url}\nendpoints: [https://two.acme.example]`, "both `url` and `endpoints`"],
    [
      "endpoints: [https://a.example, https://a.example/b]",
      "the host and port of `https://a.example/b` stand here twice",
    ],
    [
      "endpoints: [https://a.example, http://10.0.0.1]",
      "$.endpoints[1]: the URL leads to a private or loopback address",
    ],
    ["endpoints: []", "the list is empty"],
    [`${url}\nretries: { attempts: 6 }`, "larger than 5"],
    [`${url}\nretries: { budget: 0% }`, "out of range. Fix: choose `1%` to `100%`"],
    [`${url}\nretries: { budget: 0.2 }`, "expected text"],
    [`${url}\nretries: { times: 2 }`, "unknown key `times`"],
    [`${url}\nbreaker: { pause: 2m }`, "the longest pause is shorter than the first one"],
    [`${url}\nhealth: { path: /healthz }`, "`health` of an only endpoint"],
    [`${url}\nhealth: { path: healthz }`, "the path does not begin with `/`"],
    ["endpoints: [https://a.example, https://b.example]\nhealth: {}", "neither `path` nor `grpc`"],
    ["endpoints: [https://a.example, https://b.example]\nhealth: { path: /h, grpc: '' }", "both `path` and `grpc`"],
    ["endpoints: [https://a.example, https://b.example]\nhealth: { grpc: a.B }", "without gRPC operations"],
    ["endpoints: [https://a.example, https://b.example]\nhealth: { grpc: a/B }", "$.health.grpc"],
    [`${url}\ninFlight: { waiting: 5 }`, "no bound under `inFlight`"],
    [`${url}\ntimeouts: { total: 5s }`, "unknown key `total`"],
    [`${url}\nhedge: { before: 50ms }`, "unknown key `before`"],
    ["owner: team:default", "operations, but no `url` where they are served"],
  ] as const)
    test(`refuses ${lines.replaceAll("\n", "; ")}`, () => {
      assert.ok(saidOf(lines).includes(message), saidOf(lines));
      assert.equal(
        load(systemWith(lines)).estate.environments[0]?.systems.find(({ id }) => id === "billing"),
        undefined,
      );
    });

  test("a system of gRPC has endpoints that are asked in their own way, and nothing else of this", () => {
    const grpc = "operations:\n  invoice.get: { match: POST /billing.v1.Invoices/Get, protocol: grpc }\n";
    const endpoints = "endpoints: [https://a.example, https://b.example]\n";
    const loaded = (lines: string) =>
      load({ ...soundEstate(), "systems/billing.yaml": `system: billing\n${endpoints}${lines}\n${grpc}` });
    const { estate } = loaded("health: { grpc: billing.v1.Invoices }");
    const billing = estate.environments[0]?.systems.find(({ id }) => id === "billing");
    const { path, grpc: service } = billing?.upstream?.resilience?.health ?? {};
    assert.deepEqual([path, service, billing?.upstream?.endpoints?.length], [undefined, "billing.v1.Invoices", 2]);
    for (const key of ["timeouts: {}", "retries: {}", "hedge: none", "breaker: {}", "inFlight: { each: 1 }"])
      assert.match(loaded(key).findings.map(formatFinding).join("\n"), /gRPC operations is not in this version/);
  });

  test("a fallback is of a read, and JSON where it says so", () => {
    const said = (operation: string) =>
      load({
        ...soundEstate(),
        "systems/billing.yaml": `system: billing\n${url}\noperations:\n  invoice.read: ${operation}\n`,
      });
    const { estate } = said("{ match: 'GET /v1/invoices/{id}', fallback: { body: '[]' } }");
    const billing = estate.environments[0]?.systems.find(({ id }) => id === "billing");
    assert.deepEqual(billing?.operations[0]?.fallback, { status: 200, contentType: "application/json", body: "[]" });
    const kept = said("{ match: 'GET /v1/invoices/{id}', fallback: { stale: 5m } }").estate.environments[0]?.systems;
    const [read] = kept?.find(({ id }) => id === "billing")?.operations ?? [];
    assert.deepEqual([read?.staleMs, read?.fallback], [300_000, undefined]);
    for (const [operation, message] of [
      ["{ match: 'POST /v1/invoices', fallback: { body: '[]' } }", "a fallback of an effect (POST)"],
      [
        "{ match: 'GET /v1/invoices/{id}', fallback: { body: 'soon' } }",
        "$.operations['invoice.read'].fallback.body: not JSON",
      ],
      ["{ match: 'GET /v1/invoices/{id}', fallback: { body: '[]', status: 503 } }", "larger than 299"],
      ["{ match: 'GET /v1/invoices/{id}', fallback: { status: 200 } }", "neither `body` nor `stale`"],
      ["{ match: 'GET /v1/invoices/{id}', fallback: { stale: 2d } }", "`1s` to `24h`"],
      [
        "{ match: 'GET /v1/invoices/{id}', classification: restricted, fallback: { stale: 5m } }",
        "answers of a restricted operation are not kept",
      ],
    ] as const)
      assert.ok(
        said(operation).findings.map(formatFinding).join("\n").includes(message),
        said(operation).findings.map(formatFinding).join("\n"),
      );
  });

  test("`passthrough` beside another system at any of its endpoints is refused at the very place", () => {
    const files = {
      ...systemWith(
        "endpoints: [https://one.acme.example, https://two.acme.example]\npassthrough: { until: 2026-12-20, reason: Moving in }",
      ),
      "systems/other.yaml": `system: other\nurl: https://two.acme.example\n${reading}`,
    };
    assert.match(load(files).findings.map(formatFinding).join("\n"), /the url also serves `other`/);
  });
});
