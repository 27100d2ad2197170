// Promises that a provider is called with a token that says no more than what its caller was let through for: one operation, nobody's rights but the caller's, an
// end no later than that of whatever it stands on, and every actor and grant behind it. Pure. Trusts that the subject token was verified and that a gateway of
// this environment asks. Specified in docs/identity/next-hop.md, RFC 8693.
import type { NextHopRequest } from "@sallyport/protocol/channel/next-hop.ts";
import type { Actor } from "@sallyport/protocol/principal.ts";
import { grantsMax } from "@sallyport/protocol/token/claim-types.ts";
import type { NextHopConfig } from "../../registry/config/upstream-config.ts";
import { type Binding, machineLifetimeSecondsMax } from "../decide-issuance.ts";
import type { Directory } from "../directory.ts";
import {
  actorsOf,
  exchangeDepthMax,
  exchangeIdPrefix,
  lineageOf,
  type SubjectToken,
} from "../exchange/decide-exchange.ts";
import type { MintDecision } from "../mint.ts";

export interface NextHopQuestion {
  readonly issuer: string;
  /** The gateways of the group that asks, as a client. */
  readonly gateway: string;
  readonly wanted: Pick<NextHopRequest, "provider" | "operation" | "integration">;
  readonly rule: NextHopConfig;
  /** System whose integration it is. */
  readonly from: string;
  /** Null: the rule needs none. */
  readonly subject: SubjectToken | null;
  readonly directory: Pick<Directory, "clients" | "grants">;
  /** Thumbprint of the hop key of the node that asks; null: it has none. */
  readonly hopKey: string | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export type NextHopCode =
  | "next-hop-not-granted"
  | "next-hop-ended"
  | "exchange-unbound"
  | "exchange-scope"
  | "exchange-loop"
  | "exchange-depth"
  | "subject-not-yours"
  | "subject-token-missing"
  | "subject-token-expired";

export type NextHopVerdict =
  /** Without a subject: one and the same for all callers. */
  | { readonly kind: "decided"; readonly decision: MintDecision }
  | { readonly kind: "refuse"; readonly code: NextHopCode };

const no = (code: NextHopCode): NextHopVerdict => ({ kind: "refuse", code });

export function decideNextHop(question: NextHopQuestion): NextHopVerdict {
  const { wanted, rule, from, directory, now, subject } = question;
  const scope = `${wanted.provider}:${wanted.operation}`;
  const grant = directory
    .grants(from, wanted.provider)
    .find(({ integration, scopes }) => integration === wanted.integration && scopes.includes(scope));
  if (grant === undefined || (grant.expiresAtMs ?? Number.POSITIVE_INFINITY) <= now) return no("next-hop-not-granted");
  if (rule.bearer !== undefined && rule.bearer.untilMs <= now) return no("next-hop-ended");
  const ends = [grant.expiresAtMs, rule.bearer?.untilMs, subject?.expiresAtMs].filter((end) => end !== undefined);
  // From the whole second mint counts from, so that the new `exp` is at most any of these.
  const leftSeconds = Math.floor(Math.min(...ends, Number.POSITIVE_INFINITY) / 1000) - Math.floor(now / 1000);
  if (leftSeconds < 1) return no("subject-token-expired");
  const decided = {
    issuer: question.issuer,
    client: question.gateway,
    audience: `${question.issuer}/systems/${wanted.provider}`,
    scopes: [scope],
    ceiling: new Set([scope]),
    integrations: [grant.integration],
    ...(rule.bearer === undefined ? {} : { bearerUntilMs: rule.bearer.untilMs }),
  };
  const lifetimeSeconds = Math.min(machineLifetimeSecondsMax, leftSeconds);
  if (rule.outside?.grant === "client-credentials")
    return { kind: "decided", decision: { ...decided, binding: { kind: "none" }, lifetimeSeconds } };
  return subject === null
    ? no("subject-token-missing")
    : exchanged(question, subject, { ...decided, scope, lifetimeSeconds });
}

type Decided = Omit<MintDecision, "binding"> & { readonly scope: string };

function exchanged(question: NextHopQuestion, subject: SubjectToken, { scope, ...decided }: Decided): NextHopVerdict {
  const { gateway, rule, from, directory } = question;
  const client = directory.clients.get(subject.client ?? "");
  // Only what a caller could have shown the gateway for this very provider, under its own integration.
  if (subject.from !== "own" || subject.audience !== decided.audience || client === undefined || client.system !== from)
    return no("subject-not-yours");
  if (subject.scopes !== null && !subject.scopes.includes(scope)) return no("exchange-scope");
  const act = actorOf(subject, client.id, rule.actor === "gateway" ? gateway : null);
  const unfit = refuseChain(subject, act, gateway);
  if (unfit !== null) return no(unfit);
  const binding = bindingOf(question);
  if (binding === null) return no("exchange-unbound");
  const { sid, acr, amr, authTime } = subject;
  const decision: MintDecision = {
    ...decided,
    binding,
    lifetimeSeconds: Math.min(client.lives.machineSeconds, decided.lifetimeSeconds),
    subject: {
      id: subject.sub,
      ...(sid === undefined ? {} : { session: sid }),
      ...(acr === undefined ? {} : { acr }),
      ...(amr === undefined ? {} : { amr }),
      ...(authTime === undefined ? {} : { authTime }),
    },
    ...(act === undefined ? {} : { act }),
    grants: lineageOf(subject, gateway),
  };
  return { kind: "decided", decision };
}

/** Bound to the key the node signs hop tokens with, which it has proven; a bearer token only where the configuration says so. */
function bindingOf({ rule, hopKey }: NextHopQuestion): Binding | null {
  if (rule.bearer !== undefined) return { kind: "none" };
  return hopKey === null ? null : { kind: "dpop", jkt: hopKey };
}

/** Everybody who acts, the newest first: the gateway, where it is told, then the caller, then whoever acted before. */
function actorOf(subject: SubjectToken, client: string, gateway: string | null): Actor | undefined {
  const { sub, act } = subject;
  const before = sub === client || act?.sub === client ? act : { sub: client, ...(act === undefined ? {} : { act }) };
  return gateway === null ? before : { sub: gateway, ...(before === undefined ? {} : { act: before }) };
}

function refuseChain(subject: SubjectToken, act: Actor | undefined, gateway: string): NextHopCode | null {
  if (subject.sub === gateway || actorsOf(subject.act).includes(gateway)) return "exchange-loop";
  const behind = subject.gid.filter((id) => id.startsWith(exchangeIdPrefix)).length + 1;
  const isDeep = behind > exchangeDepthMax || actorsOf(act).length > exchangeDepthMax;
  return isDeep || subject.gid.length + 2 > grantsMax ? "exchange-depth" : null;
}
