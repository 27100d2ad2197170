// Promises one kind of error for everything the store cannot do, the same on every dialect and across the thread boundary.
// Trusts nobody with parameter values: they never enter a message. The codes are listed in docs/store.md.

export type StoreFaultCode =
  | "audit-missing"
  | "audit-undeclared"
  | "bad-commands-module"
  | "bad-statement"
  | "bad-url"
  | "bad-value"
  | "command-failed"
  | "commit-unknown"
  | "conflict"
  | "constraint"
  | "directory-missing"
  | "directory-permissions"
  | "directory-read-only"
  | "disk-full"
  | "network-file-system"
  | "not-cloneable"
  | "not-durable"
  | "read-wrote"
  | "schema-changed"
  | "schema-newer"
  | "schema-older"
  | "store-busy"
  | "store-closed"
  | "store-corrupt"
  | "store-io"
  | "store-locked"
  | "store-thread-dead"
  | "store-timeout"
  | "store-unreachable"
  | "unknown-command";

/** What survives the way from the writer thread to the caller. */
export interface FaultWire {
  readonly code: StoreFaultCode;
  readonly internal: string;
}

const publicTexts: Partial<Record<StoreFaultCode, string>> = {
  constraint: "The change contradicts what is already stored.",
  conflict: "Too many changes met at once; nothing was changed. Try again.",
  "commit-unknown": "The store went away while the change was being made: look before trying again.",
  "disk-full": "The store is full; nothing was changed.",
  "store-busy": "The store is busy; nothing was changed. Try again.",
};

/** The store failed, or a command did. `internal` is for operators and logs, `public` may be shown to anybody. */
export class StoreFault extends Error {
  override readonly name = "StoreFault";
  readonly code: StoreFaultCode;
  readonly internal: string;
  readonly public: string;

  constructor(code: StoreFaultCode, internal: string, options?: ErrorOptions) {
    super(`${code}: ${internal}`, options);
    this.code = code;
    this.internal = internal;
    this.public = publicTexts[code] ?? "The store could not do this; nothing was changed.";
  }
}

/** Any thrown value as a fault: a StoreFault stays what it is, everything else is the command's own failure. */
export function faultOf(thrown: unknown, command: string): StoreFault {
  if (thrown instanceof StoreFault) return thrown;
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : `threw ${typeof thrown}`;
  return new StoreFault("command-failed", `command ${command}: ${text}`, { cause: thrown });
}
