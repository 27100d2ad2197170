// Promises that both dialects run a command's generator the same way. Trusts `execute` to run one statement and answer its rows.
// The one difference is who waits: the SQLite thread never, PostgreSQL after each statement.

import { StoreFault } from "./fault.ts";
import { auditActionOf } from "./outbox.ts";
import type { Command, CommandContext, Row, Statement } from "./port.ts";
import type { ParsedStatement } from "./statement.ts";
import { type BoundValue, bindValues } from "./value.ts";

/** A run that yields more is a loop that does not end. */
const statementsMax = 200_000;

export interface Run {
  readonly name: string;
  readonly command: Command<unknown, unknown>;
  readonly input: unknown;
  readonly context: CommandContext;
}

export interface ReadyStatement {
  readonly sql: string;
  readonly parsed: ParsedStatement;
  readonly values: readonly BoundValue[];
  /** Undefined: not an audit row. */
  readonly action: string | undefined;
}

export interface Finished {
  readonly output: unknown;
  /** Actions of the audit rows written. */
  readonly actions: readonly string[];
}

interface Progress {
  statements: number;
  readonly actions: string[];
}

function ready(statement: Statement, parse: (sql: string) => ParsedStatement, progress: Progress): ReadyStatement {
  progress.statements += 1;
  if (progress.statements > statementsMax)
    throw new StoreFault("command-failed", `a command yields more than ${statementsMax} statements`);
  const parsed = parse(statement.sql);
  const action = auditActionOf(statement);
  if (action !== undefined) progress.actions.push(action);
  return { sql: statement.sql, parsed, values: bindValues(statement.params, parsed.placeholders), action };
}

/** Runs to the end without waiting. Whatever is thrown, by the body or by `execute`, ends the run and comes out. */
export function driveSync(
  run: Run,
  parse: (sql: string) => ParsedStatement,
  execute: (statement: ReadyStatement) => readonly Row[],
): Finished {
  const progress: Progress = { statements: 0, actions: [] };
  const body = run.command.body(run.input, run.context);
  let step = body.next();
  while (!step.done) step = body.next(execute(ready(step.value, parse, progress)));
  return { output: step.value, actions: progress.actions };
}

/** The same, waiting for each answer. A statement that fails ends the run: the body cannot catch it, as PostgreSQL's transaction is lost by then. */
export async function drive(
  run: Run,
  parse: (sql: string) => ParsedStatement,
  execute: (statement: ReadyStatement) => Promise<readonly Row[]>,
): Promise<Finished> {
  const progress: Progress = { statements: 0, actions: [] };
  const body = run.command.body(run.input, run.context);
  let step = body.next();
  while (!step.done) step = body.next(await execute(ready(step.value, parse, progress)));
  return { output: step.value, actions: progress.actions };
}
