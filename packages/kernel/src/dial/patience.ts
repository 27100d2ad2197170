// Promises that who waits for a peer reads what had arrived when the time was up before calling it silent: timers are served before sockets, and a
// process that stood still for a moment has no slow peer. Trusts the event loop to read sockets between its timers and its immediates.

export interface Patience {
  /** The time begins anew. */
  renew(): void;
  end(): void;
}

/** Calls `over` once, `ms` milliseconds from now or from the last renewal, behind what has arrived by then; never after the end. */
export function patience(ms: number, over: () => void): Patience {
  let late: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    late = setImmediate(over);
  }, ms);
  return {
    renew() {
      clearImmediate(late);
      timer.refresh();
    },
    end() {
      clearTimeout(timer);
      clearImmediate(late);
    },
  };
}
