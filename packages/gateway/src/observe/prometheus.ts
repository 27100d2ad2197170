// Promises the four things of prom-client that count and print, and nothing else of it: its index brings 75 modules more, which no start should wait for.
// Trusts the exact version in package.json to keep these files where they are; prometheus.test.ts says so when one has moved.
import { createRequire } from "node:module";

type Prometheus = typeof import("prom-client");
const load = createRequire(import.meta.url);

// What the package declares of itself; `require` is untyped.
export const Counter = load("prom-client/lib/counter.js") as Prometheus["Counter"];
export const Gauge = load("prom-client/lib/gauge.js") as Prometheus["Gauge"];
export const Histogram = load("prom-client/lib/histogram.js") as Prometheus["Histogram"];
export const Registry = load("prom-client/lib/registry.js") as Prometheus["Registry"];
