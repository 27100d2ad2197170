// Promises the full reason of a denial to an operator: stage, code, what was expected and what was sent, and the fix.
// Trusts control, which opens the sealed decision inputs and records the look-up. Specified in docs/audit.md and docs/cli/why.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { type CrossingRead, type CrossingReport, crossingWords, isDenied, readReport } from "../why/crossing-words.ts";

const idsMax = 100;

/** `sallyport why <id>`: exit 0 for an allowed crossing, 1 for a denied one, 3 when the node that holds the record is away. */
export function whyCommand(program: Command, connect: Connect): void {
  program
    .command("why [ids...]")
    .description("why a crossing was allowed or denied, by the correlation id in its answer")
    .addHelpText("after", examples)
    .action(async (ids: readonly string[], _options: unknown, command: Command) => {
      if (ids.length === 0 || ids.length > idsMax)
        throw new CommandEnd(exitCode.badUse, "why of what?", `name 1 to ${idsMax} crossing ids`);
      await explainCrossings(ids, await connect(command));
    });
}

const examples = `
The id is the correlationId of the problem document and the Sallyport-Crossing header of every answer.

Examples:
  sallyport why gw-1-01KAMZZZZZ0000000000000000
`;

async function explainCrossings(
  ids: readonly string[],
  { client, terminal }: Awaited<ReturnType<Connect>>,
): Promise<void> {
  const reads: CrossingRead[] = [];
  for (const id of ids)
    reads.push(readReport(await client.call<CrossingReport>("GET", `/v1/crossings/${encodeURIComponent(id)}`)));
  const [only] = reads;
  terminal.result(reads.length === 1 ? only : reads, () =>
    reads.flatMap((read, index) => [...(index === 0 ? [] : [""]), ...crossingWords(read)]),
  );
  if (reads.some(isDenied)) throw new CommandEnd(exitCode.no, "");
}
