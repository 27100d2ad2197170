// Promises that commands behave as if they ran one after another, each durable when it resolves. Trusts PostgreSQL's SERIALIZABLE and COMMIT.
// Why these isolation levels and locks: docs/store.md, "PostgreSQL".
import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import type { Clock, Random } from "../ports.ts";
import { decideAudit } from "./decide-audit.ts";
import { drive, type ReadyStatement, type Run } from "./drive.ts";
import { eventIds, idSeedBytes } from "./event-id.ts";
import { faultOf, StoreFault } from "./fault.ts";
import type { PendingSteps } from "./migration.ts";
import { loadCommands } from "./module.ts";
import type { Command, CommandTable, InputOf, OutputOf, Row, Store } from "./port.ts";
import { isContention, isDisconnect, postgresFault, sqlState } from "./postgres-fault.ts";
import { checkServer, lockKeys, makePool, migratePostgres, type PostgresLimits } from "./postgres-open.ts";
import { parsePostgresUrl } from "./postgres-url.ts";
import { statementParser } from "./statement.ts";

export interface PostgresOptions {
  readonly url: string;
  readonly schema: string;
  readonly commands: URL;
  readonly clock: Clock;
  readonly random: Random;
  readonly pendingMax: number;
  readonly pendingSteps: PendingSteps;
  readonly limits: PostgresLimits;
}

/** Attempts side by side with others; the ones after them run alone, where nothing can lose a race. */
const sharedAttemptsMax = 3;
const attemptsMax = 6;
/** Grows with each attempt; a server that restarts is back within the sum or the caller is told. */
const reconnectDelayMs = 40;

/** Checks the server, migrates, and serves commands from a bounded pool. */
export async function openPostgresStore<T extends CommandTable>(options: PostgresOptions): Promise<Store<T>> {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(options.schema))
    throw new StoreFault("bad-url", "the schema name must be lower-case letters, digits and _");
  const address = parsePostgresUrl(options.url);
  const place = `${address.host}:${address.port}/${address.database}`;
  const { commands, migrations } = await loadCommands(options.commands.href);
  const pool = makePool(address, options.schema, options.limits);
  try {
    await checkServer(pool, place);
    const { schema, pendingSteps } = options;
    await migratePostgres(pool, { schema, migrations, now: options.clock.now(), pendingSteps });
  } catch (error) {
    await pool.end();
    throw postgresFault(error, place);
  }
  return new PostgresStore<T>({ pool, place, commands, options });
}

interface Inside {
  readonly pool: pg.Pool;
  readonly place: string;
  readonly commands: CommandTable;
  readonly options: PostgresOptions;
}

class PostgresStore<T extends CommandTable> implements Store<T> {
  readonly dialect = "postgres";
  readonly #inside: Inside;
  readonly #parse = statementParser();
  readonly #gate: bigint;
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | null = null;

  constructor(inside: Inside) {
    this.#inside = inside;
    this.#gate = lockKeys(inside.options.schema).gate;
  }

  run<K extends keyof T & string>(name: K, input: InputOf<T[K]>): Promise<OutputOf<T[K]>> {
    const running = this.#start(name, input);
    this.#running.add(running);
    const forget = () => this.#running.delete(running);
    running.then(forget, forget);
    return running as Promise<OutputOf<T[K]>>; // as: the body of this very command answered
  }

  close(): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#running).then(() => this.#inside.pool.end());
    return this.#closing;
  }

  async #start(name: string, input: unknown): Promise<unknown> {
    const { commands, options, place } = this.#inside;
    if (this.#closing) throw new StoreFault("store-closed", `command ${name} came after close`);
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (!command) throw new StoreFault("unknown-command", `there is no command ${JSON.stringify(name.slice(0, 80))}`);
    if (this.#running.size >= options.pendingMax)
      throw new StoreFault("store-busy", `${this.#running.size} commands are waiting already`);
    const now = options.clock.now();
    const seed = options.random.bytes(idSeedBytes);
    const copy = cloned(input, `the input of command ${name}`);
    // Each attempt gets its own id counter, so that a command tried again writes the same ids.
    const attempt = () => ({
      name,
      command,
      input: copy,
      context: { now, dialect: "postgres" as const, nextId: eventIds(now, seed) },
    });
    try {
      return cloned(await this.#attempts(attempt), `the answer of command ${name}`);
    } catch (error) {
      throw faultOf(postgresFault(error, place), name);
    }
  }

  async #attempts(makeRun: () => Run): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(makeRun(), attempt > sharedAttemptsMax);
      } catch (error) {
        if (attempt >= attemptsMax || !(isContention(error) || isDisconnect(error))) throw error;
        if (isDisconnect(error)) await delay(reconnectDelayMs * attempt);
      }
    }
  }

  /** One transaction on one connection; a connection whose state is not known to be clean is thrown away. */
  async #attempt(run: Run, alone: boolean): Promise<unknown> {
    const client = await this.#inside.pool.connect();
    let clean = false;
    try {
      await client.query(this.#begin(run.command, alone));
      const output = await this.#body(client, run).catch(async (error: unknown) => {
        await client.query("ROLLBACK");
        clean = true;
        throw error;
      });
      await this.#commit(client, run.name);
      clean = true;
      return output;
    } finally {
      client.release(!clean);
    }
  }

  /** Fixed texts and a number of ours: nothing of a caller's enters. */
  #begin(command: Command<unknown, unknown>, alone: boolean): string {
    if (command.audit === null) return `BEGIN ISOLATION LEVEL ${alone ? "REPEATABLE READ" : "SERIALIZABLE"} READ ONLY`;
    if (!alone) return `BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT pg_advisory_xact_lock_shared(${this.#gate})`;
    // Alone behind the gate no other command writes; READ COMMITTED, because a snapshot taken before the gate opened would be stale.
    return `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(${this.#gate})`;
  }

  async #body(client: pg.PoolClient, run: Run): Promise<unknown> {
    let changed = 0;
    const execute = async (statement: ReadyStatement): Promise<readonly Row[]> => {
      const result = await client.query({ text: statement.parsed.postgres, values: [...statement.values] });
      const counts = result.command !== "SELECT" || statement.parsed.hiddenChange;
      if (statement.action === undefined && counts) changed += result.rowCount ?? 0;
      return result.rows;
    };
    const finished = await drive(run, this.#parse, execute);
    const fault = decideAudit(run.name, run.command.audit, { changed, actions: finished.actions });
    if (fault) throw fault;
    return finished.output;
  }

  async #commit(client: pg.PoolClient, name: string): Promise<void> {
    try {
      const { command } = await client.query("COMMIT");
      // COMMIT of a failed transaction answers ROLLBACK instead of an error.
      if (command !== "COMMIT") throw new StoreFault("command-failed", `command ${name} was rolled back at commit`);
    } catch (error) {
      if (sqlState(error) === undefined || isDisconnect(error))
        if (!(error instanceof StoreFault))
          throw new StoreFault(
            "commit-unknown",
            `the connection to ${this.#inside.place} was lost while command ${name} was being committed: look whether it was made before trying again`,
            { cause: error },
          );
      throw error;
    }
  }
}

/** What crosses a thread on SQLite is copied here too, so that a command that works on one dialect works on the other. */
function cloned(value: unknown, what: string): unknown {
  try {
    return structuredClone(value);
  } catch (error) {
    throw new StoreFault("not-cloneable", `${what} cannot be copied between threads`, { cause: error });
  }
}
