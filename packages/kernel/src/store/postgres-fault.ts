// Promises what a PostgreSQL error means for the caller, without the values that caused it. Trusts SQLSTATE, not message texts.
// Codes: PostgreSQL manual, appendix A.
import { StoreFault, type StoreFaultCode } from "./fault.ts";

/** SQLSTATE of an error, or undefined for errors of the connection itself. */
export function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith("E") ? code : undefined;
}

/** The transaction lost against another one and was rolled back: trying again is right. */
export function isContention(error: unknown): boolean {
  const state = sqlState(error);
  return state === "40001" || state === "40P01";
}

/** The connection is gone, or the server is going. */
export function isDisconnect(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof StoreFault) return false;
  const state = sqlState(error);
  if (state !== undefined) return state.startsWith("08") || state.startsWith("57P") || state === "53300";
  const code = "code" in error ? String(error.code) : "";
  return (
    /^E[A-Z]+$/.test(code) ||
    /^Connection terminated|timeout exceeded|^Client has encountered a connection error/.test(error.message)
  );
}

const byState: Readonly<Record<string, StoreFaultCode>> = {
  "25006": "read-wrote",
  "40001": "conflict",
  "40P01": "conflict",
  "53100": "disk-full",
  "55P03": "store-locked",
  "57014": "store-timeout",
  XX001: "store-corrupt",
  XX002: "store-corrupt",
};
const byClass: Readonly<Record<string, StoreFaultCode>> = {
  "22": "bad-value",
  "23": "constraint",
  "42": "bad-statement",
};
/** Messages of these classes name tables and columns; those of other classes may quote a value. */
const quotableClasses = new Set(["23", "42"]);

/** An error of `pg` as a fault; what is not the database's comes back as it is. `place` is host, port and database. */
export function postgresFault(error: unknown, place: string): unknown {
  if (error instanceof StoreFault || !(error instanceof Error)) return error;
  const state = sqlState(error);
  if (state === undefined)
    return isDisconnect(error) || /certificate|self-signed|SSL/i.test(error.message)
      ? new StoreFault(
          "store-unreachable",
          `PostgreSQL at ${place}: ${error.message}. Is it running, and may this machine connect?`,
          { cause: error },
        )
      : error;
  const code =
    byState[state] ??
    byClass[state.slice(0, 2)] ??
    (isDisconnect(error) || state.startsWith("28") || state === "3D000" ? "store-unreachable" : "command-failed");
  const text =
    quotableClasses.has(state.slice(0, 2)) || code === "store-unreachable" ? error.message : "see the server's log";
  return new StoreFault(code, `PostgreSQL at ${place}: ${text} (SQLSTATE ${state})`, { cause: error });
}
