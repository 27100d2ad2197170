// Promises where the time of a call went: the client's own steps in order, then the gateway's stages where it says them.
// Trusts the clock and, for the gateway's part, its Server-Timing field. Pure. Specified in docs/cli/call.md "Timings".
import type { TimedExchange } from "./sender.ts";

export interface Step {
  readonly at: "client" | "gateway";
  readonly step: string;
  /** Milliseconds. */
  readonly ms: number;
}

const entriesMax = 64;
const rounded = (ms: number): number => Math.round(ms * 100) / 100;

/** The steps of one call: its exchanges in order, the last of them the crossing itself, then reading the body. */
export function clientSteps(
  exchanges: readonly TimedExchange[],
  on: { readonly gateway: string; readonly bodyMs: number },
): readonly Step[] {
  const steps: Step[] = [];
  const add = (step: string, ms: number): void => void steps.push({ at: "client", step, ms: rounded(ms) });
  for (const [index, exchange] of exchanges.entries()) {
    const isLast = index === exchanges.length - 1;
    const what = nameOf(exchange, on.gateway, isLast);
    if (exchange.connectMs !== null) add(`${what}: connect and TLS`, exchange.connectMs);
    add(what === "crossing" ? "crossing: first byte" : what, exchange.firstByteMs);
  }
  add("crossing: body", on.bodyMs);
  return steps;
}

function nameOf(exchange: TimedExchange, gateway: string, isLast: boolean): string {
  const url = new URL(exchange.url);
  if (url.pathname.startsWith("/.well-known/")) return "issuer metadata";
  if (isLast) return "crossing";
  if (url.origin === gateway) return "nonce of the gateway";
  return exchange.status === 200 ? "token" : "nonce of the issuer";
}

/** `receive;dur=0.05, admit;dur=0.01` as steps of the gateway; what is not in that form is left out. */
export function gatewaySteps(serverTiming: string | null): readonly Step[] {
  if (serverTiming === null) return [];
  return serverTiming
    .split(",", entriesMax)
    .map((entry) => /^\s*([A-Za-z][A-Za-z0-9._-]{0,63})\s*;(?:.*;)?\s*dur=([0-9]{1,9}(?:\.[0-9]{1,6})?)/.exec(entry))
    .flatMap((match) =>
      match?.[1] === undefined ? [] : [{ at: "gateway" as const, step: match[1], ms: Number(match[2]) }],
    );
}

/** The value below which `part` (0 to 1) of the samples lie; 0 of none. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0);
}
