// What only PostgreSQL promises: a verified server, no lost race, and a connection that may break.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import type { ContractCommands } from "./contract/commands.ts";
import { testServer } from "./for-each-dialect.ts";
import { openStore } from "./open.ts";
import type { Store } from "./port.ts";
import { parsePostgresUrl } from "./postgres-url.ts";

const commands = new URL("./contract/commands.ts", import.meta.url);

describe("the database URL", () => {
  const host = "postgres://app:p%40ss@db.example:6543/sally";

  test("a server on another machine is always verified", () => {
    assert.deepEqual(parsePostgresUrl(host), {
      host: "db.example",
      port: 6543,
      user: "app",
      password: "p@ss",
      database: "sally",
      ssl: { rejectUnauthorized: true },
    });
    assert.deepEqual(parsePostgresUrl(`${host}?sslmode=verify-full`).ssl, { rejectUnauthorized: true });
  });

  for (const mode of ["disable", "allow", "prefer", "require", "no-verify", "verify-ca", ""])
    test(`sslmode=${mode || "(empty)"} cannot switch that off`, () => {
      assert.throws(() => parsePostgresUrl(`${host}?sslmode=${mode}`), { code: "bad-url" });
    });

  test("names that only look like this machine are another machine", () => {
    for (const name of ["localhost.example", "127.0.0.1.example", "1270.0.0.1", "0.0.0.0", "[::2]"])
      assert.notEqual(
        URL.canParse(`postgres://u:p@${name}/d`) && parsePostgresUrl(`postgres://u:p@${name}/d`).ssl,
        false,
        name,
      );
  });

  test("this machine needs no TLS", () => {
    for (const name of ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
      assert.equal(parsePostgresUrl(`postgres://u:p@${name}/d`).ssl, false, name);
    assert.deepEqual(parsePostgresUrl("postgres://u:p@localhost/d?sslmode=verify-full").ssl, {
      rejectUnauthorized: true,
    });
  });

  test("an unknown parameter, a missing part or a missing CA file is refused, and the password is in no message", () => {
    for (const url of [
      `${host}?sslcert=x`,
      `${host}?host=/tmp`,
      `${host}?options=-c%20fsync=off`,
      `${host}?sslrootcert=/nowhere.pem`,
      "postgres://app:p%40ss@/x",
      "postgres://app:p%40ss@h/",
      "http://app:p%40ss@h/d",
      "p%40ss",
    ])
      assert.throws(
        () => parsePostgresUrl(url),
        (error) =>
          error instanceof Error && "code" in error && error.code === "bad-url" && !/p@ss|p%40ss/.test(error.message),
      );
  });
});

describe("the server", () => {
  let url = "";
  let shared = "";
  let stop = async () => {};
  let store: Store<ContractCommands>;
  const schema = `test_pg_${process.pid}`;
  const admin = async (sql: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const result = await client.query(sql);
    await client.end();
    return result.rows;
  };
  before(async () => {
    const server = await testServer();
    stop = server.stop;
    url = server.url;
    // A database of its own: the test below cuts connections, and other suites share the server.
    await admin(`CREATE DATABASE ${schema}`);
    const own = new URL(url);
    own.pathname = `/${schema}`;
    shared = url;
    url = own.href;
    store = await openStore<ContractCommands>({ commands, url, schema, connectionsMax: 8 });
  });
  after(async () => {
    await store.close();
    url = shared;
    await admin(`DROP DATABASE ${schema} WITH (FORCE)`);
    await stop();
  });

  test("two nodes that fight for one row lose no increment", async () => {
    const other = await openStore<ContractCommands>({ commands, url, schema, connectionsMax: 8 });
    try {
      await Promise.all(
        Array.from({ length: 60 }, (_, index) => (index % 2 ? store : other).run("increment", { name: "fought" })),
      );
      assert.equal(await store.run("counter", "fought"), 60);
    } finally {
      await other.close();
    }
  });

  test("connections that the server cuts are replaced without anybody noticing", async () => {
    await store.run("addNote", "before");
    await admin(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sallyport' AND datname = current_database()",
    );
    await store.run("addNote", "after");
    assert.deepEqual(await store.run("notes", null), ["before", "after"]);
  });

  test("a wrong password and a closed port are said plainly, without the password", async () => {
    const wrong = new URL(url);
    wrong.password = "canary-password";
    await assert.rejects(
      openStore({ commands, url: wrong.href }),
      (error) =>
        error instanceof Error &&
        "code" in error &&
        error.code === "store-unreachable" &&
        !error.message.includes("canary"),
    );
    const probe = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => probe.once("listening", resolve));
    const address = probe.address();
    await new Promise((resolve) => probe.close(resolve));
    assert.ok(address && typeof address === "object");
    await assert.rejects(openStore({ commands, url: `postgres://u:p@127.0.0.1:${address.port}/d` }), {
      code: "store-unreachable",
    });
  });

  test("a server that is not PostgreSQL's TLS is refused where TLS was asked for", async () => {
    await assert.rejects(openStore({ commands, url: `${url}?sslmode=verify-full` }), { code: "store-unreachable" });
  });

  test("a schema name that is no plain word is refused", async () => {
    for (const name of ["a; drop schema public", 'x"', "Upper", "", "a-b"])
      await assert.rejects(openStore({ commands, url, schema: name }), { code: "bad-url" });
  });
});
