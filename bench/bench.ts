// `npm run bench -- <name> [options]`: promises one way to every measurement of this folder, each ending in one JSON line.
// Trusts each bench to be a program of its own. What is measured and which floors hold is specified in RESULTS.md beside this file.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const benches: Readonly<Record<string, string>> = {
  gateway: "what the gateway costs beside a bare node:http + undici proxy on the same core; --quick ends within 45 s",
  features:
    "what each control of the gateway costs, switched on one after another (also: gateway --features); no floors",
  workers: "throughput and processor time per request of the gateway with 1, 2 or more worker threads; no floors",
  cost: "processor time per request of the gateway, also beside another checkout; no floors",
  audit: "durable appends and offline verification of the audit log",
  search:
    "the search index and edge figures over the records: indexing, catching up, and searches over a million records",
  follow:
    "what following the log costs control per record, index, edges and findings together, also beside another checkout; no floors",
  export: "records encoded for a SIEM, and through a sink into a file and a Splunk receiver on loopback; no floors",
  estate: "loading, checking and compiling 300 integrations over 40 systems",
  policy:
    "what an answer costs that no memory has, by closures and by the evaluator; and what is paid once for a set; no floors",
  token: "the token endpoint beside a stock oidc-provider with its memory adapter",
  revocation: "from an order to revoke to the first refused request, beside 200 subscribers; --quick ends within 45 s",
  streams: "from a revocation until each of a thousand WebSockets has its Close, and how long anything else waited",
  start: "from the start of a gateway's process to its first answer, without the control plane",
  memory: "role all when nobody calls, and the growth of a gateway over a million crossings",
};

const usage = `usage: npm run bench -- <name> [--help | options of the bench]

${Object.entries(benches)
  .map(([name, what]) => `  ${name.padEnd(10)} ${what}`)
  .join("\n")}

Each bench prints what it ran on, then its figures, and as its last line one JSON object.
A figure is only worth something beside the others of the same run: look at the ratios.
`;

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || name === "--help" || name === "-h") {
  process.stdout.write(usage);
  process.exit(name === undefined ? 2 : 0);
}
const program = name === "gateway" && rest.includes("--features") ? "features" : name;
const file = Object.hasOwn(benches, name) ? join(import.meta.dirname, `${program}.ts`) : "";
if (!existsSync(file)) {
  process.stderr.write(`There is no bench "${name}". ${usage}`);
  process.exit(2);
}
const run = spawnSync(process.execPath, [file, ...rest], { stdio: "inherit" });
process.exit(run.status ?? 1);
