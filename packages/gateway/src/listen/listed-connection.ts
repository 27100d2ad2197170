// Promises what a listener needs to know of a connection, whichever version of HTTP it speaks: to look at its waits, to end it, to list it.
// Trusts nothing: it is data.

/** A connection in the list of its listener. */
export interface ListedConnection {
  before: ListedConnection | null;
  behind: ListedConnection | null;
  /** Monotonic milliseconds at which the wait under way is over. */
  readonly dueAtMs: number;
  /** The wait under way has lasted too long. */
  overdue(): void;
  /** Ends the connection at once. */
  cut(): void;
  /** No new request is taken once those under way have ended; where the version of HTTP can say so before. */
  windDown?(): void;
}
