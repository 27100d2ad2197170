// What `serve` says once it is up.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StartFacts } from "../roles/reporter.ts";
import { bannerLines } from "./serve-reporter.ts";

const startOf = (role: "all" | "control" | "gateway", ready: boolean): StartFacts => ({
  endpoints: {
    v: 1,
    role,
    pid: 1,
    startedAt: 0,
    config: null,
    statusUrl: "http://127.0.0.1:7443",
    identityUrl: null,
    adminUrl: null,
    channelUrl: null,
    issuers: {},
    gateway: [],
    roots: { identity: null, gateway: {} },
    operatorKey: null,
  },
  addresses: {},
  details: {},
  readiness: { ready },
  standing: { served: [], notServed: [], notices: [], warnings: [] },
  dataDirectory: "/data",
  disk: { syncMs: [1], freeBytes: 1, totalBytes: 1, freeInodes: 0, totalInodes: 0, network: null, inMemory: false },
});
const serves = (start: StartFacts) => bannerLines(start).filter((line) => line.startsWith("  serves"));

test("a gateway with a snapshot in force is not said to serve nothing, and nobody is told to apply an estate to it", () => {
  assert.deepEqual(serves(startOf("gateway", true)), [
    "  serves       what control compiled for it; `sallyport status` at control counts it",
  ]);
  assert.deepEqual(serves(startOf("gateway", false)), [
    "  serves       nothing yet: it waits for a snapshot of control",
  ]);
  assert.match(serves(startOf("control", true))[0] ?? "", /nothing yet: apply an estate/);
});

test("the banner names the issuer of each environment: clients, browsers and enrolment want that and not the origin alone", () => {
  const start = startOf("control", true);
  const issuers = { production: "https://id.acme.example/main/production" };
  const said = bannerLines({ ...start, endpoints: { ...start.endpoints, issuers } });
  assert.ok(said.includes("  issuer       https://id.acme.example/main/production  (production)"), said.join("\n"));
});

test("the whole banner: addresses, what is served, what is not with place and fix, the disk, warnings, and dates with theirs", () => {
  const start = startOf("all", true);
  const said = bannerLines({
    ...start,
    addresses: { public: "https://127.0.0.1:8443", admin: "https://127.0.0.1:7442" },
    disk: { ...start.disk, syncMs: [0.4, 0.61, 9], freeBytes: 3 * 1024 ** 3 },
    standing: {
      served: [{ environment: "production", systems: 1, operations: 2, integrations: { active: 1, suspended: 2 } }],
      notServed: [
        {
          environment: "production",
          object: "system/stock",
          place: "systems/stock.yaml:2",
          why: "not a URL. Fix: write one",
        },
      ],
      warnings: ["the clock moved"],
      notices: [
        {
          urgency: "30 days",
          object: "integration/orders-to-billing",
          environment: "production",
          text: "the time for its review ends on 2026-12-24",
          fix: "review it with its owner, and move `review`",
          at: Date.UTC(2026, 11, 24),
          file: "integrations/orders-to-billing.yaml",
          line: 7,
        },
      ],
    },
  });
  assert.deepEqual(said, [
    "",
    "sallyport all",
    "  public       https://127.0.0.1:8443",
    "  admin        https://127.0.0.1:7442",
    "  data         /data  (fsync 0.61 ms, 3.0 GiB free)",
    "  serves       production: 1 system, 2 operations, integrations: 1 active, 2 suspended",
    "  NOT SERVED   system/stock (production)  systems/stock.yaml:2: not a URL",
    "      fix: write one",
    "  warning: the clock moved",
    "  within 30 days: integration/orders-to-billing: the time for its review ends on 2026-12-24 (integrations/orders-to-billing.yaml:7)",
    "      fix: review it with its owner, and move `review`",
    "",
  ]);
});
