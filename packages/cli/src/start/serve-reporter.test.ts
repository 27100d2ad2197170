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
