// Promises named commands, one transaction each, the same on every dialect. Trusts the database behind it.
// A command is a generator of statements: the SQLite thread runs it synchronously, PostgreSQL awaits each answer, so nothing else can be awaited inside.

export type SqlValue = string | number | bigint | null | Uint8Array;
export type Row = Readonly<Record<string, SqlValue>>;

export interface Statement {
  /** Placeholders are `?` on every dialect. */
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

export interface CommandContext {
  /** Milliseconds since the epoch, one value for the whole command. */
  readonly now: number;
  readonly dialect: "sqlite" | "postgres";
  /** A fresh id (ULID) per call, ascending within one command; a retried command gets the same ids again. */
  nextId(): string;
}

export type CommandBody<In, Out> = (input: In, context: CommandContext) => Generator<Statement, Out, readonly Row[]>;

/** Rows that change without anybody having to answer for it (a lease, a last-seen time, a replay id): the reason stands in the table. */
export interface Bookkeeping {
  readonly bookkeeping: string;
  /** Actions that some runs record all the same; absent: none does. */
  readonly acts?: readonly string[];
}

export interface Command<In, Out> {
  /** The audit action (or one of those) that every run that changes state records in `audit_outbox`; null only for reads, which run read-only. */
  readonly audit: string | readonly string[] | null | Bookkeeping;
  readonly body: CommandBody<In, Out>;
}

// biome-ignore lint/suspicious/noExplicitAny: a table of commands is heterogeneous by nature; each entry keeps its own types.
export type CommandTable = Readonly<Record<string, Command<any, any>>>;

export type InputOf<C> = C extends Command<infer In, infer _Out> ? In : never;
export type OutputOf<C> = C extends Command<infer _In, infer Out> ? Out : never;

export interface Store<T extends CommandTable> {
  readonly dialect: "sqlite" | "postgres";
  /** Runs one command in one transaction and resolves after its commit is durable. Inputs and outputs must be structured-cloneable; an input stays as it is until the answer. */
  run<K extends keyof T & string>(name: K, input: InputOf<T[K]>): Promise<OutputOf<T[K]>>;
  close(): Promise<void>;
}

/** One row of `audit_outbox`, written by the command in its own transaction and drained into the log once, by id. */
export interface AuditRow {
  readonly id: string;
  readonly at: number;
  readonly tenant: string;
  readonly environment: string;
  /** `operator:<id>`, `config:<estate>`, `gateway:<node>`, `built-in`. */
  readonly actor: string;
  readonly action: string;
  /** Declared object name, for example `integration/orders-to-billing`; never text chosen by a stranger. */
  readonly object: string;
  readonly facts: Readonly<Record<string, string | number>>;
}
