// Promises that the commands of one batch share one commit, that none of them can harm another, and that no answer is made before COMMIT returned.
// Trusts the connections of sqlite-database.ts. Savepoints: sqlite.org/lang_savepoint.html.
import type { StatementSync } from "node:sqlite";
import { decideAudit } from "./decide-audit.ts";
import { driveSync, type ReadyStatement, type Run } from "./drive.ts";
import { faultOf, StoreFault } from "./fault.ts";
import type { Row } from "./port.ts";
import { type Connections, sqliteCode, sqliteFault } from "./sqlite-database.ts";
import type { ParsedStatement } from "./statement.ts";
import { type BoundValue, rowFromSqlite } from "./value.ts";

export type Reply =
  | { readonly ok: true; readonly output: unknown }
  | { readonly ok: false; readonly fault: StoreFault };

const statementsKeptMax = 500;

/** Runs batches on one pair of connections; keeps prepared statements. */
export class BatchRunner {
  readonly #connections: Connections;
  readonly #parse: (sql: string) => ParsedStatement;
  readonly #place: string;
  readonly #kept = { writer: new Map<string, StatementSync>(), reader: new Map<string, StatementSync>() };
  /** Set when a commit failed in a way that leaves the file's content unknown: nothing may be acknowledged after that. */
  #broken: StoreFault | null = null;
  /** Rows changed on the writer's connection so far, read where a command begins. */
  #changes = 0;

  constructor(connections: Connections, parse: (sql: string) => ParsedStatement, place: string) {
    this.#connections = connections;
    this.#parse = parse;
    this.#place = place;
  }

  /** Writes first, in order, in one transaction; then the reads, so that a read never answers from something that is not durable. */
  run(batch: readonly Run[]): Reply[] {
    const replies = new Map<Run, Reply>();
    const writes = batch.filter((run) => run.command.audit !== null);
    if (writes.length > 0) this.#runWrites(writes, replies);
    for (const run of batch) if (run.command.audit === null) replies.set(run, this.#runRead(run));
    return batch.map(
      (run) => replies.get(run) ?? failed(new StoreFault("command-failed", `command ${run.name} was not run`)),
    );
  }

  #runWrites(writes: readonly Run[], replies: Map<Run, Reply>): void {
    const fault = this.#broken ?? this.#tryTogether(writes, replies);
    if (fault === null) return;
    if (fault.code === "store-io") this.#broken = fault;
    // The transaction as a whole is gone (full disk, deferred constraint): each gets its own, so that only the guilty one fails.
    if (writes.length > 1 && this.#broken === null) for (const run of writes) this.#runWrites([run], replies);
    else for (const run of writes) replies.set(run, failed(fault));
  }

  /** Null after a commit, with a reply for each; else the reason why nothing of the whole batch was kept. */
  #tryTogether(writes: readonly Run[], replies: Map<Run, Reply>): StoreFault | null {
    const { writer } = this.#connections;
    try {
      writer.exec("BEGIN IMMEDIATE");
      this.#changes = this.#totalChanges();
      for (const run of writes) {
        this.#prepared("writer", "SAVEPOINT command").run();
        const reply = this.#runWrite(run);
        // Some errors (SQLITE_FULL, SQLITE_IOERR) may end the transaction by themselves.
        if (!writer.isTransaction)
          return reply.ok ? new StoreFault("store-io", `${this.#place}: the transaction ended by itself`) : reply.fault;
        if (!reply.ok) writer.exec("ROLLBACK TO command");
        this.#prepared("writer", "RELEASE command").run();
        replies.set(run, reply);
      }
      writer.exec("COMMIT");
      return null;
    } catch (error) {
      return faultOf(sqliteFault(error, this.#place), "commit");
    } finally {
      if (writer.isTransaction) writer.exec("ROLLBACK");
    }
  }

  #runWrite(run: Run): Reply {
    try {
      const before = this.#changes;
      const finished = driveSync(run, this.#parse, (statement) => this.#execute("writer", statement));
      this.#changes = this.#totalChanges();
      const changed = this.#changes - before - finished.actions.length;
      const fault = decideAudit(run.name, run.command.audit, { changed, actions: finished.actions });
      return fault ? failed(fault) : { ok: true, output: finished.output };
    } catch (error) {
      this.#changes = this.#totalChanges();
      return failed(faultOf(sqliteFault(error, this.#place), run.name));
    }
  }

  #runRead(run: Run): Reply {
    const { reader } = this.#connections;
    try {
      reader.exec("BEGIN");
      const { output } = driveSync(run, this.#parse, (statement) => this.#execute("reader", statement));
      return { ok: true, output };
    } catch (error) {
      const fault =
        sqliteCode(error) === 8
          ? new StoreFault("read-wrote", `command ${run.name} has audit: null and tried to change rows`)
          : sqliteFault(error, this.#place);
      return failed(faultOf(fault, run.name));
    } finally {
      if (reader.isTransaction) reader.exec("ROLLBACK");
    }
  }

  #totalChanges(): number {
    return Number(this.#prepared("writer", "SELECT total_changes() AS n").get()?.n);
  }

  #execute(side: keyof Connections, statement: ReadyStatement): readonly Row[] {
    // as: node:sqlite answers only these value types once big integers are on.
    const rows = this.#prepared(side, statement.sql).all(...statement.values) as Record<string, BoundValue>[];
    return rows.map(rowFromSqlite);
  }

  #prepared(side: keyof Connections, sql: string): StatementSync {
    const kept = this.#kept[side];
    const known = kept.get(sql);
    if (known) return known;
    const prepared = this.#connections[side].prepare(sql);
    prepared.setReadBigInts(true);
    if (kept.size >= statementsKeptMax) kept.clear();
    kept.set(sql, prepared);
    return prepared;
  }
}

function failed(fault: StoreFault): Reply {
  return { ok: false, fault };
}
