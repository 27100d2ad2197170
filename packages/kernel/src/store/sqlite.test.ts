// What only the embedded store promises: group commit, durability, a checked file in a checked directory.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { type ContractCommands, commands as contract, migrations } from "./contract/commands.ts";
import { networkFileSystem } from "./directory.ts";
import type { Run } from "./drive.ts";
import { eventIds } from "./event-id.ts";
import { StoreFault } from "./fault.ts";
import { openStore, type SqlitePlace } from "./open.ts";
import { outboxMigrations } from "./outbox.ts";
import type { CommandTable, Store } from "./port.ts";
import { BatchRunner } from "./sqlite-batch.ts";
import { type Connections, openSqlite } from "./sqlite-database.ts";
import { statementParser } from "./statement.ts";

const commands = new URL("./contract/commands.ts", import.meta.url);
let root = "";
let folders = 0;
const stores: Store<ContractCommands>[] = [];
before(() => {
  root = mkdtempSync(join(tmpdir(), "sallyport-sqlite-"));
});
after(async () => {
  for (const store of stores) await store.close();
  rmSync(root, { recursive: true, force: true });
});

function newFile(): string {
  folders += 1;
  const folder = join(root, `data-${folders}`);
  mkdirSync(folder, { mode: 0o700 });
  return join(folder, "control.db");
}

async function open(place: SqlitePlace): Promise<Store<ContractCommands>> {
  const store = await openStore<ContractCommands>({ commands, ...place });
  stores.push(store);
  return store;
}

describe("group commit", () => {
  let connections: Connections;
  let runner: BatchRunner;
  const executed: string[] = [];
  before(() => {
    const path = newFile();
    connections = openSqlite({ path, now: 0, migrations: [...outboxMigrations, ...migrations] });
    const { writer } = connections;
    // Watches the real connection: how often the database was really asked to commit.
    const exec = writer.exec.bind(writer);
    writer.exec = (sql) => {
      executed.push(sql);
      exec(sql);
    };
    runner = new BatchRunner(connections, statementParser(), path);
  });
  after(() => {
    connections.reader.close();
    connections.writer.close();
  });
  const table: CommandTable = contract;
  const run = (name: keyof ContractCommands, input: unknown): Run => ({
    name,
    // as: the key is one of the table's own, so the fallback is never taken; only its type is needed.
    command: table[name] ?? { audit: null, body: contract.notes.body as never },
    input,
    context: {
      now: 0,
      dialect: "sqlite",
      nextId: eventIds(
        0,
        Uint8Array.from({ length: 10 }, (_, at) => (name.length * 31 + at + executed.length) % 256),
      ),
    },
  });

  test("the commands of one batch share one commit, and a failing one costs no second", () => {
    executed.length = 0;
    const replies = runner.run([
      run("addNote", "a"),
      run("forgetsRecord", "x"),
      run("addNote", "b"),
      run("notes", null),
    ]);
    assert.deepEqual(
      replies.map((reply) => (reply.ok ? reply.output : reply.fault.code)),
      [1, "audit-missing", 2, ["a", "b"]],
    );
    assert.equal(executed.filter((sql) => sql === "COMMIT").length, 1);
  });

  test("a batch of reads commits nothing", () => {
    executed.length = 0;
    runner.run([run("notes", null), run("counter", "a")]);
    assert.deepEqual(executed, []);
  });

  test("a read is answered by what is committed, never by a neighbour that is not yet", () => {
    const exec = connections.writer.exec;
    connections.writer.exec = (sql) => {
      if (sql === "COMMIT") throw new Error("the disk went away");
      exec(sql);
    };
    const replies = runner.run([run("addNote", "never"), run("notes", null)]);
    connections.writer.exec = exec;
    assert.deepEqual(
      replies.map((reply) => (reply.ok ? reply.output : reply.fault.code)),
      ["command-failed", ["a", "b"]],
    );
  });

  test("acknowledged means synced: WAL with synchronous=FULL, foreign keys on, five seconds of patience", () => {
    const pragma = (name: string) => Object.values(connections.writer.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    assert.deepEqual(["journal_mode", "synchronous", "foreign_keys", "busy_timeout", "secure_delete"].map(pragma), [
      "wal",
      2,
      1,
      5_000,
      1,
    ]);
  });
});

describe("durability", () => {
  test("kill -9 after acknowledged commits loses none of them", async () => {
    const path = newFile();
    const child: ChildProcess = spawn(
      process.execPath,
      [new URL("./contract/kill-child.ts", import.meta.url).pathname, path, commands.href],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const exited = new Promise((resolve) => child.once("exit", resolve));
    assert.ok(child.stdout);
    let acknowledged = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Math.max(acknowledged, Number(line));
      if (acknowledged >= 300) child.kill("SIGKILL");
    }
    await exited;
    assert.ok(acknowledged >= 300);
    const store = await open({ path });
    const stored = await store.run("counter", "hot");
    assert.ok(stored >= acknowledged, `${stored} stored, ${acknowledged} acknowledged`);
    // Change and record are one transaction, also through a crash.
    assert.equal((await store.run("outboxBacklog", null)).count, stored);
  });

  test("a full disk is said plainly, nothing is half applied, and it goes on by itself", async () => {
    const store = await open({ path: newFile(), databaseBytesMax: 400_000 });
    const big = "x".repeat(100_000);
    const settled = await Promise.allSettled([
      store.run("addNote", "small"),
      store.run("addNote", big),
      ...[1, 2, 3, 4].map(() => store.run("addNote", big)),
      store.run("addNote", "last"),
    ]);
    const failed = settled.filter((result) => result.status === "rejected");
    assert.ok(failed.length > 0 && failed.length < settled.length);
    for (const { reason } of failed) assert.equal(reason.code, "disk-full");
    const stored = await store.run("notes", null);
    assert.equal(stored.length, settled.length - failed.length);
    assert.equal(settled[0]?.status, "fulfilled");
    assert.deepEqual(
      settled.flatMap((result, index) =>
        result.status === "fulfilled" ? [("small,b,b,b,b,b,last".split(",")[index] ?? "").replace("b", big)] : [],
      ),
      stored,
    );
  });

  test("a writer thread that dies rejects everybody, now and later", async () => {
    const path = newFile();
    const store = await open({ path });
    await store.run("addNote", "before");
    const pending = [store.run("addNote", "with it"), store.run("crash", null), store.run("notes", null)];
    for (const result of await Promise.allSettled(pending))
      assert.equal(result.status === "rejected" && result.reason.code, "store-thread-dead");
    await assert.rejects(store.run("notes", null), { code: "store-thread-dead" });
    await store.close();
    const again = await open({ path });
    assert.deepEqual(await again.run("notes", null), ["before"]);
  });
});

describe("the file and its directory", () => {
  const refused = async (place: SqlitePlace, code: string, text: RegExp) =>
    assert.rejects(open(place), (error) => {
      assert.ok(error instanceof StoreFault, String(error));
      assert.equal(error.code, code);
      assert.match(error.internal, text);
      return true;
    });

  test("a missing directory is made for its owner only, and so is every file in it", async () => {
    const folder = join(root, "new", "deep");
    const store = await open({ path: join(folder, "control.db") });
    await store.run("addNote", "x");
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    const files = readdirSync(folder);
    assert.ok(files.includes("control.db-wal"));
    for (const file of files) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file);
  });

  test("a directory or file that others may read is refused with the chmod to run", async () => {
    const path = newFile();
    chmodSync(join(path, ".."), 0o750);
    await refused({ path }, "directory-permissions", /chmod 0700 /);
    chmodSync(join(path, ".."), 0o700);
    writeFileSync(path, "", { mode: 0o600 });
    chmodSync(path, 0o644);
    await refused({ path }, "directory-permissions", /mode 0644.*chmod 0600 /);
  });

  test("a symbolic link in place of the database is refused", async () => {
    const path = newFile();
    const elsewhere = join(root, "elsewhere");
    writeFileSync(elsewhere, "", { mode: 0o600 });
    symlinkSync(elsewhere, path);
    await refused({ path }, "directory-permissions", /not a plain file/);
  });

  test("a file that is no database is refused and left as it was", async () => {
    const path = newFile();
    writeFileSync(path, "not a database ".repeat(1_000), { mode: 0o600 });
    await refused({ path }, "store-corrupt", /restore the newest backup/);
    assert.equal(statSync(path).size, 15_000);
  });

  test("a database with a damaged page is refused on open", async () => {
    const path = newFile();
    const store = await open({ path });
    for (let index = 0; index < 50; index += 1) await store.run("addNote", "x".repeat(2_000));
    await store.close();
    const file = openSync(path, "r+");
    for (let page = 3; page < 20; page += 1) writeSync(file, Buffer.alloc(2_048, 0xa5), 0, 2_048, page * 4_096);
    closeSync(file);
    await refused({ path }, "store-corrupt", /damaged/);
  });

  test("a network file system is refused by name", async () => {
    for (const [type, name] of [
      [0x6969, "NFS"],
      [-11317950, "CIFS"],
      [0xfe534d42, "SMB2"],
      [0x65735546, "FUSE"],
    ] as const) {
      assert.equal(networkFileSystem(type), name);
      if (process.platform === "linux")
        await refused(
          { path: newFile(), directory: { fileSystemType: () => type } },
          "network-file-system",
          new RegExp(name),
        );
    }
    for (const local of [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1])
      assert.equal(networkFileSystem(local), null);
  });

  test("a directory that cannot be written is refused, naming it", {
    skip: process.platform === "win32" && "no modes",
  }, () => {
    const path = newFile();
    const folder = join(path, "..");
    const nobody = 65_534;
    const asRoot = process.getuid?.() === 0;
    // Root may write everywhere, so somebody else has to try.
    if (asRoot) for (const place of [root, folder]) chownSync(place, nobody, nobody);
    chmodSync(folder, 0o500);
    const open = `import { openStore } from ${JSON.stringify(new URL("./open.ts", import.meta.url).href)};
      await openStore({ path: ${JSON.stringify(path)}, commands: new URL(${JSON.stringify(commands.href)}) }).catch((fault) => console.log(fault.code, fault.internal));`;
    const child = spawnSync(process.execPath, ["--input-type=module", "--eval", open], {
      encoding: "utf8",
      env: { PATH: process.env.PATH },
      ...(asRoot ? { uid: nobody, gid: nobody } : {}),
    });
    if (asRoot) chownSync(root, 0, 0);
    chmodSync(folder, 0o700);
    assert.match(child.stdout, /^directory-read-only .*data-\d+.*make it writable/, child.stderr);
  });
});
