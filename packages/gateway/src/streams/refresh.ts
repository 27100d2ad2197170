// Promises that a stream is refreshed in the thread that has it, wherever its caller's new connection came in: by the same verdict, and once the asking is
// on record. Trusts the thread where it came in for who asks: all are one program. Specified in docs/streams.md "Refreshing", docs/workers.md.
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { type Asking, askAgain, type Presentation } from "./ask-again.ts";
import { isSamePrincipal, noStream } from "./decide-refresh.ts";
import type { LiveStream } from "./live-streams.ts";

/** A token that is to take the place of the one a stream stands on. */
export interface Refresh extends Pick<Asking, "only"> {
  /** Crossing id of the stream. */
  readonly crossing: string;
  readonly presented: Presentation;
}

/** Asks the other worker threads of this node. Never rejects: no answer is no stream. */
export type RefreshElsewhere = (refresh: Refresh) => Promise<Deny | null>;

export function refreshOf({ streamOf, ...exchange }: Exchange, only?: "ask"): Refresh {
  const { signedToken, credentials, principal, signedTokenId } = exchange;
  const presented = { signedToken, credentials, principal, signedTokenId };
  return { crossing: streamOf ?? "", presented, ...(only === undefined ? {} : { only }) };
}

/** The stream, where this thread has it and it is of this very principal. */
export function ownStream({ crossing, presented: { principal } }: Refresh, gate: Gate): LiveStream | null {
  const stream = gate.streams.find(crossing);
  const of = stream?.exchange.principal ?? null;
  return principal !== null && of !== null && isSamePrincipal(of, principal) ? stream : null;
}

/** As a new request of this caller for what the stream is about would be judged. Unless it is only asked, the stream stands on the new token then. */
export function refreshHere(refresh: Refresh, gate: Gate): Deny | null {
  const { crossing, presented, only } = refresh;
  const stream = ownStream(refresh, gate);
  if (stream === null) return noStream;
  const verdict = askAgain(stream.exchange, gate, { presented, ...(only === undefined ? {} : { only }) });
  if (verdict === null && only === undefined) gate.streams.renewed(crossing);
  return verdict;
}

/** Here, or in the thread that has it. */
export function refreshAnywhere(refresh: Refresh, gate: Gate): Deny | null | Promise<Deny | null> {
  const elsewhere = ownStream(refresh, gate) === null ? gate.refreshElsewhere : null;
  return elsewhere === null ? refreshHere(refresh, gate) : elsewhere(refresh);
}
