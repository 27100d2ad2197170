// Promises one line per crossing, with the fix where it was denied. What a caller sent is printed spelled out (terminal.ts), never as control characters.
// Trusts the gateway's own record of the crossing. Specified in docs/cli/dev.md "A line per crossing".
import type { Exchange } from "@sallyport/gateway/exchange.ts";
import type { Ended } from "@sallyport/gateway/record/recorder.ts";
import { problems } from "@sallyport/protocol/problem.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { oneLine } from "../terminal.ts";
import { explainDenial } from "../why/explain-denial.ts";

export interface SeenCrossing {
  readonly event: "crossing";
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The system that was proven; null: nobody was. */
  readonly caller: string | null;
  readonly proof: string | null;
  /** `billing:invoice.read`, or null where no operation matched. */
  readonly operation: string | null;
  /** `GET /billing/v1/invoices/7` */
  readonly request: string;
  readonly integration: string | null;
  /** What enforcement says of it. */
  readonly verdict: "allow" | "deny";
  /** It was denied and went on all the same: observe or passthrough. */
  readonly letPass: boolean;
  readonly code: string | null;
  readonly stage: string | null;
  readonly outcome: string;
  readonly status: number;
  readonly ms: number;
  /** What was found wrong; null where the fix says it. */
  readonly found?: string | null;
  /** How to mend a denial; null where there is nothing to say. */
  readonly fix: string | null;
}

const requestCharactersMax = 120;

/** What dev keeps of a crossing. */
export function seenCrossing(exchange: Exchange, ended: Ended, endedMs: number): SeenCrossing {
  const { request, operation, principal, grant } = exchange;
  const letPass = ended.deny === null && exchange.wouldDeny !== null;
  const deny = ended.deny ?? exchange.wouldDeny;
  const asked = `${request?.method ?? exchange.incoming.method} ${request?.path ?? ""}`.trim();
  return {
    event: "crossing",
    id: exchange.id,
    at: exchange.startedAtMs,
    caller: principal?.caller ?? null,
    proof: principal?.proof.kind ?? null,
    operation: operation?.fullName ?? null,
    request: asked.length > requestCharactersMax ? `${asked.slice(0, requestCharactersMax)}…` : asked,
    integration: grant?.integration.id ?? null,
    verdict: deny === null ? "allow" : "deny",
    letPass,
    code: deny?.code ?? null,
    stage: deny?.stage ?? null,
    outcome: ended.outcome,
    status: ended.status,
    ms: Math.round((endedMs - exchange.startedMonotonicMs) * 100) / 100,
    ...(deny === null ? { found: null, fix: null } : mendingOf(deny)),
  };
}

/** What was found and how to mend it, by the words of `why`. */
function mendingOf({ code, stage, facts }: Deny): Pick<SeenCrossing, "found" | "fix"> {
  const { fix, detail, expected, sent, why, broken } = facts;
  const compared =
    expected === undefined ? [] : [`expected ${expected}${sent === undefined ? "" : `, was sent ${sent}`}`];
  // Part of a line, and some of it a caller may have written.
  const said = (words: string) => oneLine([words, ...compared].join("; "));
  if (fix !== undefined) return { found: null, fix: said(fix) };
  const found = detail ?? why ?? broken ?? problems[code].title;
  return { found: said(found), fix: oneLine(explainDenial({ code, stage, facts }).fix) };
}

/** For people: time, caller, operation, verdict, code, status, milliseconds; what to do on lines of its own. */
export function crossingLines(seen: SeenCrossing): readonly string[] {
  const time = new Date(seen.at).toISOString().slice(11, 23);
  const denied = seen.letPass ? `WOULD DENY ${seen.code}` : `${refusedBy(seen)} ${seen.code}`;
  const allowed = seen.outcome === "success" ? "allow" : `allow ${seen.outcome}`;
  const verdict = seen.verdict === "allow" ? allowed : denied;
  const line = [
    time,
    (seen.caller ?? "-").padEnd(12),
    (seen.operation ?? seen.request).padEnd(28),
    verdict.padEnd(20),
    String(seen.status || "-"),
    `${seen.ms.toFixed(1)} ms`,
  ].join("  ");
  if (seen.verdict === "allow") return [line];
  // How every client begins (RFC 9449 §8); a fix would send the reader after nothing.
  if (seen.code === "dpop-nonce" && !seen.letPass)
    return [line, "    no fault: the caller was told the nonce and asks again"];
  const found = seen.found == null ? [] : [`    ${seen.found}`];
  return [line, ...found, `    fix: ${seen.fix ?? ""}`, `    why: sallyport why ${seen.id}`];
}

/** Who was let pass and met a provider that failed was not denied; with a status of success it got what `fallback` says. */
function refusedBy({ stage, status }: SeenCrossing): string {
  if (stage !== "forward") return "DENY";
  return status < 400 ? "FALLBACK" : "FAILED";
}
