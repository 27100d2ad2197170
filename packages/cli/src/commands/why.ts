// Promises the full reason of a denial to an operator: stage, code, what was expected and what was sent, and the fix.
// Trusts control, which opens the sealed decision inputs and records the look-up. Specified in docs/audit.md and docs/cli/why.md.
import type { Question } from "@sallyport/control/explain/explanation.ts";
import { factorNames } from "@sallyport/kernel/geo/risk.ts";
import { type Command, Option } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";
import { type CrossingRead, type CrossingReport, crossingWords, isDenied, readReport } from "../why/crossing-words.ts";

const idsMax = 100;
/** `<node>-<ulid>`, as control takes it (api.ts). */
const crossingId = /^(?:[a-z][a-z0-9-]{0,126}-)?[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

interface WhyOptions {
  readonly from?: string;
  readonly op?: string;
  readonly attr?: readonly string[];
  readonly environment: string;
  readonly proof?: string;
  readonly scope?: readonly string[];
  readonly acr?: string;
  readonly authAge?: string;
  readonly for?: string;
  readonly grant?: string;
  readonly address?: string;
  readonly country?: string;
  readonly risk?: string;
  readonly riskFactor?: readonly string[];
  readonly config?: string;
}

const grantTypes = ["client_credentials", "authorization_code", "refresh_token", "device_code", "jwt-bearer"] as const;

/** `sallyport why <id>`: exit 0 for an allowed crossing, 1 for a denied one, 3 when the node that holds the record is away. */
export function whyCommand(program: Command, connect: Connect): void {
  program
    .command("why [ids...]")
    .description("why a crossing was allowed or denied, by the correlation id in its answer; or whether one would be")
    .option("--from <system>", "ask without a crossing: the calling system")
    .option("--op <operation>", "the operation it would call, for example billing:invoice.refund")
    .option("--attr <name=value...>", "attributes the request would carry, for policies that read them")
    .option("--environment <environment>", "environment of the question", "production")
    .addOption(
      new Option("--proof <proof>", "how the caller would prove itself; default: what its identity can give").choices([
        ...proofs,
      ]),
    )
    .option("--scope <scope...>", "scopes of its token; default: a token without, which leaves it to the grant")
    .addOption(
      new Option("--acr <level>", "it acts for a user whose log-in is worth this; default: it acts for nobody").choices(
        ["password", "mfa", "phishing-resistant"],
      ),
    )
    .option("--auth-age <duration>", "how long ago that user signed in; with --acr, default 0s")
    .option("--for <system>", "of token:issue and token:exchange: the system the token is for")
    .addOption(
      new Option(
        "--grant <type>",
        "of token:issue; default: client_credentials, with --acr authorization_code",
      ).choices(grantTypes),
    )
    .option("--address <address>", "of a token: where the request comes from; default: unknown")
    .option("--country <code>", "the country its address would be found in, for example DE; default: unknown")
    .option("--risk <points>", "0 to 100: the risk of the user's log-in; with --acr, default 0")
    .addOption(
      new Option("--risk-factor <factor...>", "what the risk would be made of; with --acr, default: nothing").choices(
        factorNames,
      ),
    )
    .option("--config <directory>", "answer offline over this estate instead of what control has in force")
    .addHelpText("after", examples)
    .action(async (ids: readonly string[], options: WhyOptions, command: Command) => {
      if (options.from !== undefined || options.op !== undefined)
        return answerQuestion(ids, options, { command, connect });
      if (ids.length === 0 || ids.length > idsMax)
        throw new CommandEnd(
          exitCode.badUse,
          "why of what?",
          `name 1 to ${idsMax} crossing ids, or ask with --from <system> --op <operation>`,
        );
      const odd = ids.find((id) => !crossingId.test(id));
      if (odd !== undefined)
        throw new CommandEnd(
          exitCode.badUse,
          `"${odd.slice(0, 64)}" is not the id of a crossing`,
          "copy the correlationId of the problem document, the Sallyport-Crossing header, or the Sallyport-Record header of a token refusal, for example gw-1-01KAMZZZZZ0000000000000000",
        );
      await explainCrossings(ids, await connect(command));
    });
}

const examples = `
The id is the correlationId of the problem document and the Sallyport-Crossing header of every answer; for a
token that was refused, the Sallyport-Record header of the token endpoint's answer.

Examples:
  sallyport why gw-1-01KAMZZZZZ0000000000000000
  sallyport why --from orders --op billing:invoice.refund
  sallyport why --from orders --op billing:invoice.read --attr region=eu --config estate
  sallyport why --from orders --op token:issue --for billing --address 192.0.2.1
  sallyport why --from portal --op token:issue --for billing --acr mfa --country DE --risk 50
  sallyport why --from portal --op billing:payout.create --acr mfa --auth-age 5m
`;

async function answerQuestion(
  ids: readonly string[],
  options: WhyOptions,
  { command, connect }: { readonly command: Command; readonly connect: Connect },
): Promise<void> {
  const { parseDuration } = await import("../duration.ts");
  const question = parseQuestion(ids, options, parseDuration);
  const { explainOffline, explainRunning, explanationWords } = await import("../why/question.ts");
  const { client, terminal } =
    options.config === undefined
      ? await connect(command)
      : { client: null, terminal: createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true) };
  const explanation =
    client === null ? await explainOffline(options.config ?? "", question) : await explainRunning(client, question);
  terminal.result(explanation, () => explanationWords(explanation));
  if (!explanation.allowed && explanation.observed === null) throw new CommandEnd(exitCode.no, "");
}

function parseQuestion(ids: readonly string[], options: WhyOptions, parseDuration: (text: string) => number): Question {
  const { from, op, attr = [], environment, proof, scope, acr, authAge } = options;
  if (from === undefined || op === undefined || ids.length > 0)
    throw new CommandEnd(
      exitCode.badUse,
      ids.length > 0 ? "a crossing id and a question" : "half a question",
      "write --from <system> --op <operation>, or a crossing id alone",
    );
  if (authAge !== undefined && acr === undefined)
    throw new CommandEnd(exitCode.badUse, "--auth-age of nobody", "add --acr <level>: how the user signed in");
  const ofUser = options.risk !== undefined ? "--risk" : options.riskFactor !== undefined ? "--risk-factor" : null;
  if (ofUser !== null && acr === undefined)
    throw new CommandEnd(exitCode.badUse, `${ofUser} of nobody`, "add --acr <level>: how the user signed in");
  const authAgeSeconds = authAge === undefined ? 0 : Math.ceil(parseDuration(authAge) / 1_000);
  const attributes = attr.map((text) => {
    const at = text.indexOf("=");
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)] as const;
    throw new CommandEnd(exitCode.badUse, `--attr ${text} has no value`, "write --attr name=value");
  });
  return {
    environment,
    from,
    operation: op,
    attributes: Object.fromEntries(attributes),
    ...tokenPart(options),
    ...signalPart(options),
    ...provenBy(proof),
    ...(acr === "password" || acr === "mfa" || acr === "phishing-resistant" ? { user: { acr, authAgeSeconds } } : {}),
    ...(scope === undefined ? {} : { scopes: scope.flatMap((text) => text.split(" ")) }),
  };
}

const proofs = ["dpop", "mtls", "signature", "bearer", "api-key"] as const;

function provenBy(proof: string | undefined): Pick<Question, "proof"> {
  const known = proofs.find((one) => one === proof);
  return known === undefined ? {} : { proof: known };
}

function tokenPart({ for: provider, grant, address }: WhyOptions): Partial<Question> {
  const grantType = grantTypes.find((type) => type === grant);
  return {
    ...(provider === undefined ? {} : { for: provider }),
    ...(grantType === undefined ? {} : { grantType }),
    ...(address === undefined ? {} : { address }),
  };
}

function signalPart({ country, risk, riskFactor }: WhyOptions): Partial<Question> {
  if (country !== undefined && !/^[A-Z]{2}$/.test(country))
    throw new CommandEnd(
      exitCode.badUse,
      `--country ${country} is no country`,
      "write its two letters, for example DE",
    );
  if (risk !== undefined && !/^(?:\d{1,2}|100)$/.test(risk))
    throw new CommandEnd(exitCode.badUse, `--risk ${risk} is no risk`, "write a number from 0 to 100");
  return {
    ...(country === undefined ? {} : { country }),
    ...(risk === undefined ? {} : { risk: Number(risk) }),
    ...(riskFactor === undefined ? {} : { riskFactors: riskFactor }),
  };
}

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
