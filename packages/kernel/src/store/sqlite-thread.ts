// The writer thread: promises that one connection, here and nowhere else, changes the database. Trusts its parent's messages (sqlite.ts).
// Messages: `ThreadRequest` in, `ThreadReply` out.
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { Run } from "./drive.ts";
import { eventIds } from "./event-id.ts";
import { type FaultWire, faultOf, type StoreFault } from "./fault.ts";
import type { PendingSteps } from "./migration.ts";
import { loadCommands } from "./module.ts";
import type { CommandTable } from "./port.ts";
import { BatchRunner, type Reply } from "./sqlite-batch.ts";
import { type Connections, openSqlite } from "./sqlite-database.ts";
import { statementParser } from "./statement.ts";

export interface ThreadOptions {
  readonly path: string;
  readonly commands: string;
  readonly now: number;
  readonly pendingSteps: PendingSteps;
  readonly databaseBytesMax?: number;
}

export interface RunRequest {
  readonly t: "run";
  readonly id: number;
  readonly name: string;
  readonly input: unknown;
  readonly now: number;
  readonly seed: Uint8Array;
}

/** `flush` ends the commands of one tick: they share a commit. */
export type ThreadRequest = RunRequest | { readonly t: "flush" } | { readonly t: "close" };

export type ThreadReply =
  | { readonly t: "ready" }
  | { readonly t: "failed"; readonly fault: FaultWire }
  | { readonly t: "done"; readonly id: number; readonly output: unknown }
  | { readonly t: "fault"; readonly id: number; readonly fault: FaultWire }
  | { readonly t: "closed" };

/** Bounds how long the first command of a batch waits for the last. */
const batchMax = 1_000;

function wire({ code, internal }: StoreFault): FaultWire {
  return { code, internal };
}

function send(port: NonNullable<typeof parentPort>, id: number, reply: Reply): void {
  try {
    if (reply.ok) port.postMessage({ t: "done", id, output: reply.output } satisfies ThreadReply);
    else port.postMessage({ t: "fault", id, fault: wire(reply.fault) } satisfies ThreadReply);
  } catch {
    const fault: FaultWire = {
      code: "not-cloneable",
      internal: "a command returned something that cannot be copied between threads; its change was made",
    };
    port.postMessage({ t: "fault", id, fault } satisfies ThreadReply);
  }
}

/** Commands in the order they came; `complete` of them belong to ticks that have ended. */
class Inbox {
  #waiting: RunRequest[] = [];
  #complete = 0;

  /** False when the message ends the thread's work. */
  take(message: ThreadRequest): boolean {
    if (message.t === "run") this.#waiting.push(message);
    else this.#complete = this.#waiting.length;
    return message.t !== "close";
  }

  get full(): boolean {
    return this.#complete >= batchMax;
  }

  nextBatch(): RunRequest[] {
    const batch = this.#waiting.splice(0, Math.min(this.#complete, batchMax));
    this.#complete -= batch.length;
    return batch;
  }
}

function serve(port: NonNullable<typeof parentPort>, connections: Connections, table: CommandTable): void {
  const { path } = workerData as ThreadOptions; // as: sqlite.ts is the only starter
  const runner = new BatchRunner(connections, statementParser(), path);
  const inbox = new Inbox();
  const work = () => {
    for (let batch = inbox.nextBatch(); batch.length > 0; batch = inbox.nextBatch()) {
      const replies = runner.run(batch.map((request) => runOf(request, table)));
      for (const [index, { id }] of batch.entries()) {
        const reply = replies[index];
        if (reply) send(port, id, reply);
      }
    }
  };
  port.on("message", (first: ThreadRequest) => {
    let open = inbox.take(first);
    // Whatever piled up while the last batch was committing joins this one.
    while (open && !inbox.full) {
      const next: { message: ThreadRequest } | undefined = receiveMessageOnPort(port);
      if (!next) break;
      open = inbox.take(next.message);
    }
    work();
    if (!open) end(port, connections);
  });
}

function end(port: NonNullable<typeof parentPort>, { reader, writer }: Connections): void {
  reader.close();
  writer.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  writer.close();
  port.postMessage({ t: "closed" } satisfies ThreadReply);
  port.close();
}

function runOf(request: RunRequest, table: CommandTable): Run {
  const { name, input, now, seed } = request;
  // biome-ignore lint/style/noNonNullAssertion: the parent checked the name against the same table.
  const command = table[name]!;
  return { name, command, input, context: { now, dialect: "sqlite", nextId: eventIds(now, seed) } };
}

async function start(port: NonNullable<typeof parentPort>): Promise<void> {
  try {
    const options = workerData as ThreadOptions; // as: sqlite.ts is the only starter
    const { commands, migrations } = await loadCommands(options.commands);
    const connections = openSqlite({ ...options, migrations });
    serve(port, connections, commands);
    port.postMessage({ t: "ready" } satisfies ThreadReply);
  } catch (error) {
    port.postMessage({ t: "failed", fault: wire(faultOf(error, "open")) } satisfies ThreadReply);
    port.close();
  }
}

// A thread's entry is the one place where import means work.
if (parentPort) await start(parentPort);
