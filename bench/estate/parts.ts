// Promises the parts of one cold check as one JSON line: loading, compiling policies, lint, and the snapshot a gateway would get.
// Trusts control; one process measures once, because the second run of a program is another program. Run by estate.ts beside this folder.
import { loadEstate } from "@sallyport/control/registry/config/load.ts";
import { lint } from "@sallyport/control/registry/lint/lint.ts";
import { checkPolicies } from "@sallyport/control/snapshot/compile-policies.ts";
import { compileSnapshot } from "@sallyport/control/snapshot/compile-snapshot.ts";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { EstateParts } from "../estate.ts";

const [directory = ""] = process.argv.slice(2);
const now = Date.now();
const cpuBefore = process.cpuUsage();
const started = performance.now();
const loaded = loadEstate(directory, { now: () => now });
const isLoaded = performance.now();
const ofLoad = process.cpuUsage(cpuBefore);
const compiler = createSliceCompiler();
const findings = checkPolicies(loaded.estate, compiler);
const { environments } = loaded.estate;
const parsed = new Map(environments.map(({ name, policies }) => [name, compiler.parse(policies)]));
const isCompiled = performance.now();
const beforeLint = process.cpuUsage();
const found = lint({ loaded, policies: { findings, parsed }, now });
const isChecked = performance.now();
const { user, system } = process.cpuUsage(cpuBefore);
const ofLint = process.cpuUsage(beforeLint);

let bytes = 0;
for (const environment of environments) {
  const { manifest, blobs } = compileSnapshot(
    {
      environment,
      states: new Map(),
      tenant: "main",
      region: "default",
      group: "bench",
      issuer: `https://identity.acme.example/main/${environment.name}`,
      epoch: 1,
      version: 1,
      now,
      lifetimeMs: 3_600_000,
      minKeySeq: 0,
      minRevocationSeq: 0,
    },
    createSliceCompiler(),
  );
  // What a gateway of this environment receives: the manifest and every blob it names.
  const size = [...blobs.values()].reduce((sum, blob) => sum + blob.length, JSON.stringify(manifest).length);
  bytes = Math.max(bytes, size);
}
const isDone = performance.now();

const parts: EstateParts = {
  load_ms: isLoaded - started,
  policies_ms: isCompiled - isLoaded,
  lint_ms: isChecked - isCompiled,
  snapshot_ms: isDone - isChecked,
  snapshot_bytes: bytes,
  findings: found.length,
  cpu_ms: (user + system) / 1000,
  load_cpu_ms: (ofLoad.user + ofLoad.system) / 1000,
  lint_cpu_ms: (ofLint.user + ofLint.system) / 1000,
};
process.stdout.write(`${JSON.stringify(parts)}\n`);
