// Promises the full reason of a denial to an operator: stage, code, what was expected and what was sent, and the fix.
// Trusts control, which opens the sealed decision inputs and records the look-up. Specified in docs/audit.md and docs/cli.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";

interface CrossingReport {
  readonly id: string;
  readonly node: string;
  readonly leaves: readonly string[];
  readonly decision: Readonly<Record<string, unknown>> | null;
}

/** `sallyport why <id>`: exit 0 for an allowed crossing, 1 for a denied one, 3 when the node that holds the record is away. */
export function whyCommand(program: Command, connect: Connect): void {
  program
    .command("why <id>")
    .description("why a crossing was allowed or denied, by the correlation id in its answer")
    .addHelpText(
      "after",
      "\nThe id is the correlationId of the problem document and the Sallyport-Crossing header of every answer.\n",
    )
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const report = await client.call<CrossingReport>("GET", `/v1/crossings/${encodeURIComponent(id)}`);
      const leaves = report.leaves.map((leaf) => parseLeaf(leaf));
      terminal.result({ ...report, leaves }, () => words(report, leaves));
      if (leaves.some((leaf) => leaf["verdict"] === "deny")) throw new CommandEnd(exitCode.no, "");
    });
}

type LeafFields = Readonly<Record<string, unknown>>;

function parseLeaf(text: string): LeafFields {
  // A leaf is a JSON object by its format (docs/formats/leaf.md); control has found it in a log.
  return JSON.parse(text) as LeafFields;
}

function words(report: CrossingReport, leaves: readonly LeafFields[]): readonly string[] {
  const decided = leaves.find((leaf) => "verdict" in leaf) ?? {};
  const lines = [`${report.id} at ${report.node}`, `verdict    ${text(decided["verdict"])}`];
  for (const name of ["code", "stage", "operation", "integration", "proof"] as const) {
    if (decided[name] !== null && decided[name] !== undefined) lines.push(`${name.padEnd(10)} ${text(decided[name])}`);
  }
  const policies = decided["policies"];
  if (Array.isArray(policies) && policies.length > 0) lines.push(`policies   ${policies.join(", ")}`);
  for (const leaf of leaves) {
    if ("outcome" in leaf)
      lines.push(
        `outcome    ${text(leaf["outcome"])}, status ${text(leaf["status"])}, ${Number(leaf["totalUs"]) / 1000} ms`,
      );
  }
  if (report.decision === null) return [...lines, "the node kept no decision inputs for this record"];
  return [...lines, "", ...flatten(report.decision, "")];
}

/** `facts.expected  https://…` lines, in the order they were written. */
function flatten(value: Readonly<Record<string, unknown>>, prefix: string): readonly string[] {
  return Object.entries(value).flatMap(([name, member]) => {
    if (typeof member === "object" && member !== null && !Array.isArray(member)) {
      return flatten(Object.fromEntries(Object.entries(member)), `${prefix}${name}.`);
    }
    return [`${(prefix + name).padEnd(28)} ${text(member)}`];
  });
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
