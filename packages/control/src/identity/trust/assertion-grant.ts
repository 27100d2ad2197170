// Promises the jwt-bearer grant (RFC 7523 §2.1): a token of a trusted issuer outside, mapped to exactly one of our systems, is traded for a machine token
// of that system's client, under the same grants, scopes and bindings as any other. Trusts trusted-issuers.ts for the assertion. docs/identity/outside-issuers.md.
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { mapOutsideToken } from "@sallyport/protocol/token/outside-mapping.ts";
import { outsideSubject, outsideTokenId } from "@sallyport/protocol/token/outside-subject.ts";
import type { SignedOutsideToken } from "@sallyport/protocol/token/outside-token.ts";
import { clockSkewSeconds } from "../decide-assertion.ts";
import { decideIssuance } from "../decide-issuance.ts";
import type { Directory, IdentityClient } from "../directory.ts";
import type { OutsideRevocable } from "../exchange/revoked.ts";
import { replayKey } from "../replay.ts";
import { type GrantAnswer, type GrantRefusal, type GrantRequest, type OpenGrant, refuseGrant } from "../seams.ts";
import { burnProof, checkPossession, type GrantPorts, giveToken, type Possession } from "../token-grant.ts";
import type { OutsideReading, TrustedIssuer, TrustedIssuers } from "./trusted-issuers.ts";

export const jwtBearerGrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer";

export interface AssertionPorts {
  readonly trusted: TrustedIssuers;
  /** Was this token, or its subject, revoked here? Rejects when the store fails. */
  readonly isRevoked: (token: OutsideRevocable) => Promise<boolean>;
}

export const jwtBearer =
  (assertions: AssertionPorts) =>
  (ports: GrantPorts): OpenGrant => ({
    grantType: jwtBearerGrantType,
    parameters: ["assertion", "client_id"],
    isServed: () => assertions.trusted.all().some(({ config }) => config.systems.length > 0),
    handle: (request) => grantForAssertion(request, assertions, ports),
  });

/** One face for everything that is wrong with an assertion: nobody learns which issuers, systems or clients exist. */
const unacceptable = (code: string): GrantRefusal =>
  refuseGrant("invalid_grant", code, "the assertion is not acceptable");

interface Asserted {
  readonly kind: "asserted";
  readonly client: IdentityClient;
  readonly issuer: TrustedIssuer;
  readonly token: SignedOutsideToken;
}

async function grantForAssertion(
  request: GrantRequest,
  assertions: AssertionPorts,
  ports: GrantPorts,
): Promise<GrantAnswer> {
  const now = ports.clock.now();
  const directory = ports.directory();
  const asserted = await readAssertion(request, { ...assertions, directory, now });
  if (asserted.kind === "error") return asserted;
  const { client } = asserted;
  const possession = checkPossession(request, client.certificates, now, ports);
  if (possession.kind === "error") return { ...possession, client: client.id };
  if (!isHolder(asserted.token, possession)) return { ...unacceptable("assertion-binding"), client: client.id };
  const verdict = decideIssuance({
    issuer: request.issuer,
    client,
    resources: request.resources,
    scope: request.scope,
    binding: possession.binding,
    grants: directory.grants,
    now,
  });
  if (verdict.kind === "refuse")
    return { ...refuseGrant(verdict.error, verdict.code, verdict.description), client: client.id };
  const decided = {
    decision: verdict.decision,
    client,
    grantType: "jwt-bearer",
    address: request.address,
    subjectIssuer: asserted.issuer.config.id,
  } as const;
  // Ids are used up last, so that a refused request costs nobody theirs.
  const burn = async () =>
    (await burnProof(request.issuer, possession, ports)) ?? (await burnAssertion(request, asserted, ports));
  const answer = await giveToken(decided, burn, ports);
  return answer.kind === "error" ? { ...answer, client: client.id } : answer;
}

interface Place extends AssertionPorts {
  readonly directory: Directory;
  readonly now: number;
}

async function readAssertion(
  request: GrantRequest,
  { trusted, isRevoked, directory, now }: Place,
): Promise<Asserted | GrantRefusal> {
  const { assertion, client_id: named } = request.parameters;
  if (assertion === undefined) return refuseGrant("invalid_request", "assertion-missing", "send one assertion");
  const read = await trusted.read(assertion, now);
  if (read.kind === "refused") return unacceptable(`assertion-${read.code}`);
  // Who acts would be lost, and the subject itself be taken for who asks.
  if (read.token.members["act"] !== undefined) return unacceptable("assertion-actor");
  const mapped = mapOutsideToken(read.token, read.issuer.config.systems);
  if (mapped.kind === "unmapped") return unacceptable(`assertion-${mapped.why}`);
  const client = clientOf(directory, mapped.to.system);
  // The mapping leads to a system that is broken or gone.
  if (client === null) return unacceptable("assertion-system-unknown");
  if (named !== undefined && named !== client.id) return unacceptable("assertion-client");
  // Else what gateways refuse would be traded for a token that is younger than the revocation.
  if (await isRevoked(revocableOf(read, assertion))) return unacceptable("assertion-revoked");
  return { kind: "asserted", client, issuer: read.issuer, token: read.token };
}

/** A token that is bound to a key or a certificate is worth nothing to who does not hold it, and what comes of it is bound to the same. */
function isHolder({ claims: { jkt, x5t } }: SignedOutsideToken, { binding }: Possession): boolean {
  if (jkt !== undefined && !(binding.kind === "dpop" && binding.jkt === jkt)) return false;
  return x5t === undefined || (binding.kind === "mtls" && binding.x5t === x5t);
}

function revocableOf({ issuer, token }: Extract<OutsideReading, { kind: "read" }>, text: string): OutsideRevocable {
  const { iss, sub, jti, iat } = token.claims;
  const id = outsideTokenId({ issuer: iss, jti, text }, { sha256 });
  // A pod has no other token until the kubelet writes one, and who was let in before a restore is let in after it, by key or by file.
  return { kind: "outside", subject: outsideSubject(iss, sub, { sha256 }), id, iat, outlivesRestore: isFile(issuer) };
}

const isFile = ({ rules }: TrustedIssuer): boolean => rules.kind === "kubernetes";

function clientOf(directory: Directory, system: string): IdentityClient | null {
  for (const client of directory.clients.values()) if (client.system === system) return client;
  return null;
}

/**
 * An assertion with an id is used once. A service account token is a file that its workload comes with again and again until the kubelet writes the
 * next one, so there the id says nothing; what it leads to is bound to a key all the same.
 */
async function burnAssertion(
  request: GrantRequest,
  { issuer, token }: Asserted,
  ports: GrantPorts,
): Promise<GrantRefusal | null> {
  const { jti, exp, iat } = token.claims;
  if (jti === undefined || isFile(issuer)) return null;
  const fresh = await ports.replay.claimAssertion("assertion", replayKey(request.issuer, issuer.rules.issuer, jti), {
    until: (exp + clockSkewSeconds) * 1000,
    issuedAt: iat * 1000,
  });
  return fresh ? null : unacceptable("assertion-replayed");
}
