// `npm run bench -- policy`: promises what one decision costs where it is not remembered, by closures and by the evaluator, over the same slices and
// requests in turns; where it is remembered; and what a set is paid once. Trusts the engine of kernel/policy. Holds no floors. Explained in RESULTS.md.
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { atOnce } from "@sallyport/kernel/policy/decider.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import type { DecisionInputs, PolicySlice } from "@sallyport/kernel/policy/port.ts";
import { median, rounded } from "./figures.ts";
import { describeMachine } from "./machine.ts";

const rounds = 9;
const decisionsOfRound = 4_000;
const sizes = [1, 4, 20, 100];

const conditions = [
  "unless { resource.region == principal.region }",
  'when { resource.amount > 1000000 && context.proof != "mtls" }',
  'when { context.scopes.contains("none") || context.zone like "ext*" }',
  'when { principal in System::"legacy" && resource.amount + 1 > 10 }',
];

function sliceOf(policies: number): PolicySlice {
  const text = Array.from(
    { length: policies },
    (_, at) =>
      `@id("p${at}") forbid(principal, action == Action::"billing:invoice.read", resource) ${conditions[at % conditions.length]};`,
  ).join("\n");
  const { slice } = createSliceCompiler().compileSlice({
    action: "billing:invoice.read",
    system: "billing",
    resourceAttributes: { region: "string", amount: "long" },
    callers: [{ id: "orders", attributes: { region: "eu" } }],
    grants: [{ integration: "orders-to-billing", from: "orders" }],
    authorize: "grant",
    policies: [{ file: "bench.cedar", text }],
  });
  if (slice.broken !== undefined) throw new Error(slice.broken);
  return slice;
}

function inputs(amount: number): DecisionInputs {
  return {
    principal: { id: "orders", attributes: { region: "eu" } },
    resource: { system: "billing", attributes: { region: "eu", amount } },
    context: {
      ...{ integration: "orders-to-billing", environment: "production", zone: "internal", proof: "dpop" },
      scopes: ["billing:invoice.read"],
      stalenessMs: 5,
    },
  };
}

const requests = Array.from({ length: decisionsOfRound }, (_, at) => inputs(at));

/** Microseconds of one decision. */
function timed(decide: (on: DecisionInputs) => unknown): number {
  const startedAt = process.cpuUsage();
  for (const one of requests) decide(one);
  const { user, system } = process.cpuUsage(startedAt);
  return (user + system) / requests.length;
}

function measure(policies: number) {
  const slice = sliceOf(policies);
  const jobs: Iterator<void>[] = [];
  const compiled = createPolicyEngine({ memoEntriesMax: 0, later: (job) => void jobs.push(job) });
  const closures = compiled.load(slice);
  closures.decide(inputs(0));
  const startedAt = process.cpuUsage();
  for (const job of jobs) atOnce(job);
  const { user, system } = process.cpuUsage(startedAt);
  if (compiled.standing().compiled !== 1) throw new Error("the slice was not compiled");
  const evaluator = createPolicyEngine({ memoEntriesMax: 0, closuresOff: true }).load(slice);
  const remembering = createPolicyEngine({ memoEntriesMax: decisionsOfRound }).load(slice);
  const runs = { closures, evaluator, remembering };
  const figures = { closures: [] as number[], evaluator: [] as number[], remembering: [] as number[] };
  for (const one of Object.values(runs)) timed((on) => one.decide(on));
  for (let round = 0; round < rounds; round++)
    for (const name of ["closures", "evaluator", "remembering"] as const)
      figures[name].push(timed((on) => runs[name].decide(on)));
  return {
    policies: policies + 1,
    closures_us: rounded(median(figures.closures), 2),
    evaluator_us: rounded(median(figures.evaluator), 1),
    remembered_us: rounded(median(figures.remembering), 2),
    compared_ms: rounded((user + system) / 1_000, 1),
  };
}

process.stdout.write(`${JSON.stringify(describeMachine())}\n`);
const rows = sizes.map((policies) => {
  const row = measure(policies);
  process.stdout.write(`${JSON.stringify(row)}\n`);
  return row;
});
process.stdout.write(`${JSON.stringify({ bench: "policy", rows })}\n`);
