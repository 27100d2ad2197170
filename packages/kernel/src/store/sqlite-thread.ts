// The writer thread: promises that one connection, here and nowhere else, changes the database. Trusts its parent's messages (sqlite.ts).
// Messages: `ThreadRequest` in, `ThreadReply` out.
import { parentPort, receiveMessageOnPort } from "node:worker_threads";
import { threadOptions } from "../thread-ahead.ts";
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
  readonly id: number;
  readonly name: string;
  readonly input: unknown;
  readonly now: number;
  readonly seed: Uint8Array;
}

/** A batch holds commands in the order they were given; `close` comes behind the last one. */
export type ThreadRequest = { readonly t: "batch"; readonly runs: readonly RunRequest[] } | { readonly t: "close" };

export type WireReply =
  | { readonly id: number; readonly ok: true; readonly output: unknown }
  | { readonly id: number; readonly ok: false; readonly fault: FaultWire };

export type ThreadReply =
  | { readonly t: "ready" }
  | { readonly t: "failed"; readonly fault: FaultWire }
  | { readonly t: "replies"; readonly replies: readonly WireReply[] }
  | { readonly t: "closed" };

/** Commands that share one commit at most: bounds how long the first of them waits for the last. */
const batchMax = 1_000;

function wire({ code, internal }: StoreFault): FaultWire {
  return { code, internal };
}

const uncloneable: FaultWire = {
  code: "not-cloneable",
  internal: "a command returned something that cannot be copied between threads; its change was made",
};

/** All answers of a commit in one message; where one of them cannot be copied, each in its own, so that only that one is a fault. */
function send(port: NonNullable<typeof parentPort>, replies: readonly WireReply[]): void {
  try {
    port.postMessage({ t: "replies", replies } satisfies ThreadReply);
  } catch {
    const [only] = replies;
    if (replies.length > 1) for (const one of replies) send(port, [one]);
    else if (only !== undefined) send(port, [{ id: only.id, ok: false, fault: uncloneable }]);
  }
}

/** Commands in the order they came. */
class Inbox {
  #waiting: RunRequest[] = [];

  /** False when the message ends the thread's work. */
  take(message: ThreadRequest): boolean {
    if (message.t === "batch") this.#waiting.push(...message.runs);
    return message.t !== "close";
  }

  get full(): boolean {
    return this.#waiting.length >= batchMax;
  }

  nextBatch(): RunRequest[] {
    return this.#waiting.splice(0, batchMax);
  }
}

function serve(
  port: NonNullable<typeof parentPort>,
  {
    connections,
    table,
    path,
  }: { readonly connections: Connections; readonly table: CommandTable; readonly path: string },
): void {
  const runner = new BatchRunner(connections, statementParser(), path);
  const inbox = new Inbox();
  const work = () => {
    for (let batch = inbox.nextBatch(); batch.length > 0; batch = inbox.nextBatch()) {
      const replies = runner.run(batch.map((request) => runOf(request, table)));
      send(
        port,
        replies.map((reply, n) => replyTo(batch[n]?.id ?? -1, reply)),
      );
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

function replyTo(id: number, reply: Reply): WireReply {
  return reply.ok ? { id, ok: true, output: reply.output } : { id, ok: false, fault: wire(reply.fault) };
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
    const options = (await threadOptions()) as ThreadOptions; // as: sqlite.ts is the only one that opens it
    const { commands, migrations } = await loadCommands(options.commands);
    const connections = openSqlite({ ...options, migrations });
    serve(port, { connections, table: commands, path: options.path });
    port.postMessage({ t: "ready" } satisfies ThreadReply);
  } catch (error) {
    port.postMessage({ t: "failed", fault: wire(faultOf(error, "open")) } satisfies ThreadReply);
    port.close();
  }
}

// A thread's entry is the one place where import means work.
if (parentPort) await start(parentPort);
