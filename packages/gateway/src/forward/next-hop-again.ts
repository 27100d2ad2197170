// Promises that a provider which does not take the token it was shown is asked once more with a new one, where asking twice cannot act twice, and that its
// word about our token never passes for a word about the caller's. Trusts forwarding.ts for the attempts. Specified in docs/identity/next-hop.md.
import type { UpstreamRequest } from "@sallyport/kernel/dial/upstream-port.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { takeNextHop } from "../exchange/next-hop.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { mayRepeat } from "./may-repeat.ts";
import { saidAgainst } from "./next-hop-fields.ts";

interface Round {
  /** Asks the provider, in so many milliseconds. */
  run(leftMs: number): Promise<Deny | null>;
  readonly timeoutMs: number;
  readonly content: UpstreamRequest["content"];
}

/** The verdict of `forward`; each thing that a provider may say against a token is mended at most once. */
export async function withNextHop(exchange: Exchange, gate: Gate, round: Round): Promise<Deny | null> {
  const endsMs = gate.clock.monotonic() + round.timeoutMs;
  const mended = new Set<string>();
  for (;;) {
    const verdict = await round.run(Math.max(1, endsMs - gate.clock.monotonic()));
    const said = verdict === null ? judge(exchange, gate) : null;
    if (said === null) return verdict;
    if (said.what === "token" && exchange.nextHop !== null)
      gate.nextHops.drop(exchange.nextHop.wanted.key, exchange.nextHop.token.id);
    if (mended.has(said.what) || !mayAskAgain(exchange, said, round)) return reject(exchange, said);
    mended.add(said.what);
    if (said.what === "token") {
      const refused = await anotherToken(exchange, gate);
      if (refused !== null) return refused;
    }
    keepAttempt(exchange, said);
  }
}

interface Said {
  readonly what: "token" | "nonce";
  readonly endpoint: string;
  /** It named a nonce that it had not named before. */
  readonly isNew: boolean;
}

/** What the provider said against the token; null: nothing, or somebody else answers in its place. */
function judge({ upstream, fallback, forwarding, nextHop }: Exchange, gate: Gate): Said | null {
  const endpoint = forwarding?.endpoint?.origin ?? null;
  if (upstream === null || fallback !== null || nextHop === null || endpoint === null) return null;
  const isNew = nextHop.token.scheme === "DPoP" && gate.providerNonces.learn(endpoint, upstream.field("dpop-nonce"));
  const what = saidAgainst(upstream.status, upstream.field("www-authenticate"));
  return what === null ? null : { what, endpoint, isNew };
}

/** A refusal for want of a nonce comes before anything is done (RFC 9449 §9); one of the token is believed for what may be done twice. */
function mayAskAgain(exchange: Exchange, { what, isNew }: Said, { content }: Round): boolean {
  const isHeld = content === null || content instanceof Uint8Array;
  if (!isHeld || exchange.aborted || exchange.upstream?.whole !== true) return false;
  return what === "nonce" ? isNew : mayRepeat(exchange) === "always";
}

async function anotherToken(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { nextHop } = exchange;
  const hopKey = gate.hopSigner()?.kid;
  if (nextHop === null || hopKey === undefined) return deny("exchange", "exchange-unavailable");
  exchange.nextHop = null;
  const refused = await takeNextHop(exchange, gate, { rule: nextHop.rule, hopKey });
  if (refused !== null) exchange.upstream?.discard();
  return refused;
}

function keepAttempt(exchange: Exchange, { endpoint }: Said): void {
  const { upstream } = exchange;
  const ms = Math.round(upstream?.upstreamMs ?? 0);
  exchange.attempts = [...(exchange.attempts ?? []), { endpoint, ended: "status-401", ms }];
  upstream?.discard();
}

function reject({ upstream }: Exchange, { what }: Said): Deny {
  const verdict = deny("forward", "next-hop-rejected", {
    why: what === "token" ? "it answered 401 invalid_token" : "it answered 401 use_dpop_nonce, and with no new nonce",
    detail: "The provider was called with a token of its own and does not take it; the caller's token is not at fault",
  });
  if (upstream?.whole === true) upstream.discard();
  else upstream?.cancel(verdict);
  return verdict;
}
