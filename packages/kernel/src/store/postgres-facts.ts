// Promises what a PostgreSQL server says of itself, for `doctor`: version, durability, how far away it is. Changes nothing there.
// Trusts the server's own settings as it shows them. Settings: PostgreSQL manual §19.
import { makePool } from "./postgres-open.ts";
import { parsePostgresUrl } from "./postgres-url.ts";

export interface PostgresFacts {
  readonly version: string;
  /** `180004` */
  readonly versionNumber: number;
  readonly fsync: string;
  /** Of the server; sessions of sallyport set their own to `on`. */
  readonly synchronousCommit: string;
  readonly encoding: string;
  /** Round trips, milliseconds, ascending. */
  readonly roundTripMs: readonly number[];
}

const roundTrips = 5;
const timeoutMs = 5_000;

/** Asks; rejects when the server cannot be reached or does not let us in. */
export async function readPostgresFacts(url: string): Promise<PostgresFacts> {
  const limits = {
    connectionsMax: 1,
    connectTimeoutMs: timeoutMs,
    statementTimeoutMs: timeoutMs,
    lockTimeoutMs: timeoutMs,
  };
  const pool = makePool(parsePostgresUrl(url), "sallyport", limits);
  try {
    const { rows } = await pool.query(
      "SELECT current_setting('server_version') AS version, current_setting('server_version_num') AS number, current_setting('fsync') AS fsync, current_setting('server_encoding') AS encoding, (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS commit",
    );
    const roundTripMs: number[] = [];
    for (let i = 0; i < roundTrips; i += 1) {
      const from = performance.now();
      await pool.query("SELECT 1");
      roundTripMs.push(performance.now() - from);
    }
    const { version, number, fsync, encoding, commit } = rows[0];
    return {
      version: String(version),
      versionNumber: Number(number),
      fsync: String(fsync),
      synchronousCommit: String(commit),
      encoding: String(encoding),
      roundTripMs: roundTripMs.sort((a, b) => a - b),
    };
  } finally {
    await pool.end();
  }
}
