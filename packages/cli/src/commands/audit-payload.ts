// Promises that an operator reads what was kept of a crossing, and erases a person from everything kept, each with a reason that is recorded.
// Trusts control's admin API. Specified in docs/cli/audit.md and docs/payloads.md.
import { readFileSync } from "node:fs";
import type { ErasureReport } from "@sallyport/control/payloads/payload-actions.ts";
import type { PayloadPart, PayloadReport } from "@sallyport/control/payloads/read-payload.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { readFile } from "./audit-files.ts";

const examples = {
  payload: '\nExample:\n  sallyport audit payload gw-1-01KAMZZZZZ0000000000000000 --reason "complaint 88"\n',
  erase: `
Examples:
  sallyport audit erase --subject c-1017 --reason "request of 2026-11-30"
  sallyport audit erase --subject-file - --reason "request of 2026-11-30" < subject.txt
  sallyport audit erase --pseudonym 2026:abcdefghijklmnopqrstuQ --reason "erased before the restore"
  sallyport audit erase --from-log /mnt/lost/control/log --reason "after the restore of 2026-11-30"
`,
  unlock: '\nExample:\n  sallyport audit unlock-payloads --reason "all erasures since the backup were made again"\n',
};

/** `sallyport audit payload`, `audit erase` and `audit unlock-payloads`. */
export function auditPayloadCommands(group: Command, connect: Connect): void {
  group
    .command("payload <crossing>")
    .description("what was kept of a crossing, while its key exists; exit 1 where nothing of it can be read")
    .requiredOption("--reason <text>", "why you read it; it is recorded")
    .addHelpText("after", examples.payload)
    .action(async (id: string, { reason }: { readonly reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const report = await client.call<PayloadReport>("POST", `/v1/payloads/${encodeURIComponent(id)}`, { reason });
      terminal.result(report, () => report.payloads.flatMap(wordsOf));
      if (!report.payloads.some(({ state }) => state === "kept")) throw new CommandEnd(exitCode.no, "");
    });
  eraseCommand(group, connect);
  group
    .command("unlock-payloads")
    .description(
      "use again the payload keys that came back with a restore, once erasures since the backup were made again",
    )
    .requiredOption("--reason <text>", "why they may be used; it is recorded")
    .addHelpText("after", examples.unlock)
    .action(async ({ reason }: { readonly reason: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const unlocked = await client.call<{ readonly keys: number }>("POST", "/v1/payload-keys/unlock", { reason });
      terminal.result(unlocked, () => [`${unlocked.keys} payload keys can be used again`]);
    });
}

interface EraseFlags {
  readonly subject?: string;
  readonly subjectFile?: string;
  readonly pseudonym?: string;
  readonly environment?: string;
  readonly fromLog?: string;
  readonly reason: string;
}

function eraseCommand(group: Command, connect: Connect): void {
  group
    .command("erase")
    .description("destroy the keys of everything kept about one data subject; nothing brings it back")
    .option("--subject <value>", "the data subject as requests name it: in every environment and year")
    .option("--subject-file <file>", "the same from a file, or - for standard input: then no other process sees it")
    .option("--pseudonym <pseudonym>", "one data subject as a payload record names it")
    .option("--environment <environment>", "of the pseudonym; default: production")
    .option("--from-log <directory>", "everybody whom this log of a control plane says was erased, once more")
    .requiredOption("--reason <text>", "why; it is recorded")
    .addHelpText("after", examples.erase)
    .action(async (flags: EraseFlags, command: Command) => {
      const orders = flags.fromLog === undefined ? [orderOf(flags)] : await ordersOf(flags, flags.fromLog);
      const { client, terminal } = await connect(command);
      const erased = { keys: 0, subjects: [] as ErasureReport["subjects"][number][] };
      const refused: CommandEnd[] = [];
      for (const order of orders)
        try {
          const { keys, subjects } = await client.call<ErasureReport>("POST", "/v1/erasures", order);
          erased.keys += keys;
          erased.subjects.push(...subjects);
        } catch (error) {
          // Whom a hold covers must not keep everybody behind from being erased.
          if (orders.length === 1 || !(error instanceof CommandEnd) || error.exit !== exitCode.no) throw error;
          refused.push(error);
        }
      terminal.result(erased, () => [
        `destroyed ${erased.keys} keys: what was sealed to them can be read by nobody any more`,
        ...erased.subjects.map(({ environment, subject }) => `recorded under ${subject} in ${environment}`),
      ]);
      const [first] = refused;
      if (first === undefined) return;
      const left = `${refused.length} of ${orders.length} data subjects were not erased; the first: ${first.message}`;
      throw new CommandEnd(exitCode.no, left, first.fix);
    });
}

/** Erasures that a log has on record, each data subject once. Reads up to the newest checkpoint; whether the log is whole, `audit verify` says. */
async function ordersOf(
  { subject, subjectFile, pseudonym, environment, reason }: EraseFlags,
  directory: string,
): Promise<readonly object[]> {
  if ([subject, subjectFile, pseudonym, environment].some((one) => one !== undefined)) throw unclear();
  const { erasuresIn } = await import("../records/erasures-in.ts");
  const erased = await erasuresIn(directory);
  if (erased === null)
    throw new CommandEnd(
      exitCode.badUse,
      `${directory} holds no log`,
      "name the log of the control plane that was lost",
    );
  return erased.map((one) => ({ ...one, reason }));
}

const unclear = () =>
  new CommandEnd(
    exitCode.badUse,
    "who is to be erased is not clear",
    "give one of --subject, --subject-file, --pseudonym and --from-log; --environment belongs to --pseudonym",
  );

function orderOf({ subject, subjectFile, pseudonym, environment, reason }: EraseFlags): object {
  const given = [subject, subjectFile, pseudonym].filter((one) => one !== undefined);
  if (given.length !== 1 || (environment !== undefined && pseudonym === undefined)) throw unclear();
  if (pseudonym !== undefined) return { pseudonym, reason, ...(environment === undefined ? {} : { environment }) };
  return { subject: subject ?? readSubject(subjectFile ?? ""), reason };
}

/** One value; the line end that editors add does not belong to it. */
function readSubject(path: string): string {
  const text = path === "-" ? readFileSync(0, "utf8") : readFile(path).toString("utf8");
  return text.replace(/\r?\n$/, "");
}

const day = (at: number): string => new Date(at).toISOString().slice(0, 10);

function wordsOf(part: PayloadPart): readonly string[] {
  switch (part.state) {
    case "kept":
      return [`${part.direction}, until ${day(part.endsAt)}:`, `  ${part.content}`];
    case "erased":
      return [`${part.direction}: its data subject was erased on ${day(part.at)}`];
    case "expired":
      return [`${part.direction}: its time was over on ${day(part.at)}, and its key was destroyed`];
    case "locked":
      return [`${part.direction}: its key came back with a restore; see sallyport audit unlock-payloads`];
    case "gone":
      return [
        `${part.direction}: there is no key for it here (a control store from before it, or one that was restored)`,
      ];
    case "damaged":
      return [
        `${part.direction}: what the archive holds is not what the record names; sallyport audit verify says more`,
      ];
    case "unkept":
      return [`${part.direction}: not kept, ${unkeptWords[part.reason]}`];
  }
}

const unkeptWords: Readonly<Record<Extract<PayloadPart, { readonly state: "unkept" }>["reason"], string>> = {
  "no-subject": "the request names no data subject",
  unenforced: "a denial passed under observation",
  empty: "there was no content",
  "not-json": "it is not JSON that has one reading",
  "not-whole": "it is too long, or too slow, to be held",
  "too-large": "it is larger than the operation allows",
};
