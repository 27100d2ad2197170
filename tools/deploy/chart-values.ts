// Promises the values that tests render the chart with: those it cannot do without, and all of them at once. Trusts chart.ts.
import assert from "node:assert/strict";
import { chart, type Manifest, renderChart } from "./chart.ts";

export const identityUrl = "https://id.acme.example";

export function rendered(changes: Readonly<Record<string, unknown>>): readonly Manifest[] {
  const done = renderChart(chart, changes);
  if ("error" in done) assert.fail(done.error);
  return done.manifests;
}

export const everything = {
  control: {
    identityUrl,
    storeSecret: "postgres",
    archiveSecret: "archive",
    exportsSecret: "exports",
    alertsSecret: "alerts",
    credentialsSecret: "credentials",
    identityProxies: ["10.0.0.0/8", "fd00::/8"],
    witness: { enabled: true },
    storage: { className: "fast" },
    extraArgs: ["--snapshot-lifetime=1h"],
  },
  gateway: {
    dataStoreSecret: "postgres-data",
    limitsStoreSecret: "redis",
    tlsSecret: "api-tls",
    upstreamKeysSecret: "upstream-keys",
    traces: { url: "https://otel.acme.svc:4318/v1/traces", ratio: "0.05", headersSecret: "collector" },
    workers: "auto",
    storage: { className: "fast" },
    service: { annotations: { a: "b" } },
    extraArgs: ["--server-timing"],
  },
  image: { pullSecrets: [{ name: "registry" }] },
  estate: { files: { "sallyport.yaml": "estate: acme\n", "systems/billing.yaml": 'system: billing\n# say "hello"\n' } },
  networkPolicy: {
    callers: [{ ipBlock: { cidr: "10.0.0.0/8" } }],
    witnesses: [{ ipBlock: { cidr: "192.0.2.0/24" } }],
    providers: [{ ports: [{ port: 443 }] }],
    store: [{ ports: [{ port: 5432 }] }],
    gatewayStores: [{ ports: [{ port: 5432 }, { port: 6379 }, { port: 4318 }] }],
    outside: [{ ports: [{ port: 443 }] }],
  },
  nodeSelector: { "kubernetes.io/os": "linux" },
  tolerations: [{ key: "edge", operator: "Exists" }],
};
