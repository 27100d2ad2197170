// Promises the token-exchange grant (RFC 8693): client authenticated, possession proven, subject token read, rule decided, token minted and recorded, in
// that order; no refresh token, ever. Trusts decide-exchange.ts for what may come out. docs/identity/token-exchange.md.
import type { MintDecision } from "../mint.ts";
import { type GrantAnswer, type GrantHandler, type GrantRefusal, type GrantRequest, refuseGrant } from "../seams.ts";
import { burnProof, type GrantPorts, giveToken, holderOf } from "../token-grant.ts";
import { decideExchange, type ExchangeDecision, tokenExchangeGrantType } from "./decide-exchange.ts";
import { accessTokenUrn, jwtUrn, readSubjectToken, type SubjectPorts } from "./subject-token.ts";

export const tokenExchange =
  (subjects: SubjectPorts) =>
  (ports: GrantPorts): GrantHandler => ({
    grantType: tokenExchangeGrantType,
    parameters: [
      "subject_token",
      "subject_token_type",
      "requested_token_type",
      "actor_token",
      "actor_token_type",
      "audience",
    ],
    handle: (request) => exchange(request, subjects, ports),
  });

async function exchange(request: GrantRequest, subjects: SubjectPorts, ports: GrantPorts): Promise<GrantAnswer> {
  const now = ports.clock.now();
  const unfit = refuseParameters(request);
  if (unfit !== null) return unfit;
  const holder = holderOf(request, now, ports);
  if (holder.kind === "error") return holder;
  const { client, possession } = holder;
  const { subject_token: token = "", subject_token_type: type = "" } = request.parameters;
  const read = await readSubjectToken({ token, type }, now, subjects);
  // RFC 8693 §2.2.2: an unacceptable subject token is invalid_request. One text: whoever found a token learns nothing about it here.
  if (read.kind === "refused") return refuseGrant("invalid_request", read.code, "the subject token is not acceptable");
  const verdict = decideExchange({
    issuer: request.issuer,
    client,
    subject: read.subject,
    resources: request.resources,
    scope: request.scope,
    binding: possession.binding,
    grants: ports.directory().grants,
    now,
  });
  if (verdict.kind === "refuse") return refuseGrant(verdict.error, verdict.code, verdict.description);
  const decided = {
    decision: mintableExchange(verdict.decision),
    client,
    grantType: "token-exchange",
    address: request.address,
    subjectIssuer: read.subject.from,
    as: verdict.decision.as,
  } as const;
  // Counted from the instant that was decided on: a slow store must not push the end past the subject token's.
  const clock = { now: () => now, monotonic: () => ports.clock.monotonic() };
  const answer = await giveToken(decided, () => burnProof(request.issuer, possession, ports), {
    ...ports,
    clock,
  });
  return answer.kind === "error" ? answer : { ...answer, body: { ...answer.body, issued_token_type: accessTokenUrn } };
}

/** RFC 8693 §2.1: what this version does not do is said, never ignored. */
function refuseParameters({ parameters }: GrantRequest): GrantRefusal | null {
  const no = (code: string, description: string) => refuseGrant("invalid_request", code, description);
  if (parameters["subject_token"] === undefined || parameters["subject_token_type"] === undefined)
    return no("subject-token-missing", "send one subject_token and its subject_token_type");
  if (parameters["actor_token"] !== undefined || parameters["actor_token_type"] !== undefined)
    return no("exchange-actor-token", "leave actor_token out: the actor is the client that asks");
  if (parameters["audience"] !== undefined)
    return no("exchange-audience", "name the provider with resource, not with audience");
  const wanted = parameters["requested_token_type"];
  if (wanted !== undefined && wanted !== accessTokenUrn && wanted !== jwtUrn)
    return no("exchange-token-type", `requested_token_type can only be ${accessTokenUrn}`);
  return null;
}

/** What is minted for an exchange. */
export function mintableExchange(decision: ExchangeDecision): MintDecision {
  const { subject, gid, sid, acr, amr, authTime, act, issuer, client, audience, scopes, ceiling, binding } = decision;
  return {
    issuer,
    client,
    audience,
    scopes,
    ceiling,
    integrations: [decision.integration],
    binding,
    lifetimeSeconds: decision.lifetimeSeconds,
    subject: {
      id: subject,
      ...(sid === undefined ? {} : { session: sid }),
      ...(acr === undefined ? {} : { acr }),
      ...(amr === undefined ? {} : { amr }),
      ...(authTime === undefined ? {} : { authTime }),
    },
    ...(act === undefined ? {} : { act }),
    grants: gid,
  };
}
