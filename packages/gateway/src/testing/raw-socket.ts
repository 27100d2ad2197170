// Promises exactly the bytes a test says on one socket, and everything that comes back until the other side closes or goes quiet.
// Trusts nothing. For tests of what a well-behaved client would never send.
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  /** Everything received, latin1. */
  readonly text: string;
  /** Status codes of the answers, in order. */
  readonly statuses: readonly number[];
  readonly closed: boolean;
}

export interface RawWait {
  /** So many answers come, or the connection ends: before that no quiet ends the wait. */
  readonly until?: number | "end";
  readonly quietMs?: number;
}

/** Longest wait for what must come. */
const patienceMs = 60_000;
/** A quiet is made of so many turns of timers: a process that stood still for long has missed one of them, not a quiet. */
const quietTurns = 5;

/** Sends latin1 bytes and waits for the close, or for `quietMs` without a byte after the answers. */
export function sendRaw(url: string, bytes: string | readonly string[], wait: RawWait = {}): Promise<RawAnswer> {
  const { until = 1, quietMs = 150 } = wait;
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket: Socket = connect(Number(port), hostname);
    let text = "";
    const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
    const end = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed, statuses: statuses() });
    };
    let timer = setTimeout(() => end(false), patienceMs);
    const beQuiet = (turns: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => (turns === 1 ? end(false) : beQuiet(turns - 1)), quietMs / quietTurns);
    };
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (until !== "end" && statuses().length >= until) beQuiet(quietTurns);
    });
    socket.on("error", () => end(true));
    socket.on("close", () => end(true));
    for (const part of typeof bytes === "string" ? [bytes] : bytes) socket.write(part, "latin1");
  });
}

/** Status codes with the problem codes of their bodies: `400 bad-framing`. */
export function problemsOf(answer: RawAnswer): string[] {
  const codes = [...answer.text.matchAll(/"code":"([a-z-]+)"/g)].map((match) => match[1] ?? "");
  return answer.statuses.map((status, i) => (status < 400 ? String(status) : `${status} ${codes[i] ?? ""}`));
}
