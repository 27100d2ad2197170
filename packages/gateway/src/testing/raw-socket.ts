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

/** Longest wait for the first byte. */
const firstByteMs = 5_000;

/** Sends latin1 bytes and waits for the close, or for `quietMs` without a byte after the first. */
export function sendRaw(url: string, bytes: string | readonly string[], quietMs = 150): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket: Socket = connect(Number(port), hostname);
    let text = "";
    const end = (closed: boolean): void => {
      clearTimeout(quiet);
      socket.destroy();
      resolve({ text, closed, statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1])) });
    };
    let quiet = setTimeout(() => end(false), firstByteMs);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      clearTimeout(quiet);
      quiet = setTimeout(() => end(false), quietMs);
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
