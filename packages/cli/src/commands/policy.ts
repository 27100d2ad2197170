// Promises to show what an estate's grants compile to: the permits nobody wrote, as Cedar text. Offline.
// Trusts the loader and the generator that `serve` uses. Specified in docs/policy.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";
import { loadDirectory } from "./check.ts";
import { policyReplayCommand } from "./policy-replay.ts";
import { policyTestCommand } from "./policy-test.ts";

interface GeneratedPermit {
  readonly environment: string;
  readonly operation: string;
  readonly id: string;
  readonly cedar: string;
}

const examples = `
An operation that says "authorize: policy" has no generated permit: only your policies permit it.
token:issue and token:exchange are what the control plane asks before it signs a token.
Example:
  sallyport policy generated estate --operation billing:invoice.create
`;

/** `sallyport policy`. */
export function policyCommands(program: Command, connect: Connect): void {
  const group = program.command("policy").description("what authorises a crossing besides the files you write");
  group
    .command("generated <directory>")
    .description("the permit every grant of an estate compiles to; your policy files narrow them with forbid")
    .option("--operation <operation>", "only this one, for example billing:invoice.create or token:issue")
    .option("--environment <environment>", "only this environment")
    .addHelpText("after", examples)
    .action(async (directory: string, flags: { operation?: string; environment?: string }, command: Command) => {
      const { estate } = await loadDirectory(directory);
      const permits = (await generatedPermits(estate.environments)).filter(
        ({ operation, environment }) =>
          (flags.operation === undefined || operation === flags.operation) &&
          (flags.environment === undefined || environment === flags.environment),
      );
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      terminal.result(permits, () =>
        permits.flatMap(({ environment, id, cedar }) => [`// ${id} (${environment})`, ...cedar.split("\n"), ""]),
      );
      if (permits.length === 0)
        throw new CommandEnd(
          exitCode.no,
          "no permit is generated",
          "sallyport check <directory> says what is declared",
        );
    });
  policyReplayCommand(group, connect);
  policyTestCommand(group);
}

type Environments = Awaited<ReturnType<typeof loadDirectory>>["estate"]["environments"];

async function generatedPermits(environments: Environments): Promise<readonly GeneratedPermit[]> {
  const { generatedPermit, generatedPermitId } = await import("@sallyport/kernel/policy/generated-permit.ts");
  const tokenPermits = await createTokenPermits();
  return environments.flatMap((environment) => [
    ...environment.systems.flatMap((system) =>
      system.operations
        .filter(({ authorize }) => authorize === "grant")
        .flatMap(({ name }) =>
          environment.integrations
            .filter(({ to, operations }) => to === system.id && operations.some((granted) => granted.name === name))
            .map(({ id, from }) => ({
              environment: environment.name,
              operation: `${system.id}:${name}`,
              id: generatedPermitId(id),
              cedar: generatedPermit(`${system.id}:${name}`, { integration: id, from }),
            })),
        ),
    ),
    ...tokenPermits(environment),
  ]);
}

/** What permits tokens: one for each integration, and one more where it has a rule of exchange. */
async function createTokenPermits(): Promise<(environment: Environments[number]) => readonly GeneratedPermit[]> {
  const { generatedPermitId, generatedTokenPermit } = await import("@sallyport/kernel/policy/generated-permit.ts");
  const { tokenActions } = await import("@sallyport/kernel/policy/token-slice.ts");
  const { tokenGrants } = await import("@sallyport/control/snapshot/compile-token-policies.ts");
  return ({ name, systems, integrations }) =>
    tokenActions.flatMap((operation) =>
      systems.flatMap(({ id: to }) =>
        tokenGrants({ systems, integrations }, operation, to).map((grant) => ({
          environment: name,
          operation,
          id: generatedPermitId(grant.integration),
          cedar: generatedTokenPermit(operation, { ...grant, to }),
        })),
      ),
    );
}
