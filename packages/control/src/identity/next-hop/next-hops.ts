// Promises a gateway the token a provider is called with, or a reason why there is none: the caller's token verified here whatever the gateway made of it, the rule
// decided, the policies asked, the token made and on record before it leaves. Trusts the channel for which node asks. docs/identity/next-hop.md.
import { hash } from "node:crypto";
import {
  gatewayClient,
  type NextHopAnswer,
  type NextHopRequest,
  type NextHopToken,
} from "@sallyport/protocol/channel/next-hop.ts";
import type { NodeAddress } from "../../gateways/hub.ts";
import type { NextHopConfig } from "../../registry/config/upstream-config.ts";
import type { EnvironmentInForce } from "../../registry/estate-state.ts";
import type { IdentityClient } from "../directory.ts";
import type { SubjectToken } from "../exchange/decide-exchange.ts";
import { accessTokenUrn, readSubjectToken, type SubjectPorts } from "../exchange/subject-token.ts";
import type { HopKeys } from "../hop-keys.ts";
import { type ClearedDecision, type MintDecision, mint } from "../mint.ts";
import type { DecidedToken } from "../policy/clear-token.ts";
import type { RefusedToken } from "../seams.ts";
import { factsOf } from "../settle.ts";
import { type GrantPorts, makeSignable } from "../token-grant.ts";
import { decideNextHop } from "./decide-next-hop.ts";
import type { OutsideTokens } from "./outside-tokens.ts";

export interface NextHopPorts
  extends Pick<
    GrantPorts,
    "clock" | "random" | "record" | "directory" | "policy" | "signals" | "signer" | "legacySigner"
  > {
  readonly issuer: string;
  readonly inForce: () => EnvironmentInForce | null;
  readonly subjects: SubjectPorts;
  readonly hopKeys: Pick<HopKeys, "of">;
  readonly outside: Pick<OutsideTokens, "ask">;
}

interface Asked {
  readonly address: NodeAddress;
  readonly request: NextHopRequest;
  readonly gateway: string;
  readonly rule: NextHopConfig;
  readonly subject: SubjectToken | null;
}

/** Rejects only when store or log fail: then no token leaves. */
export async function giveNextHopToken(
  address: NodeAddress,
  request: NextHopRequest,
  ports: NextHopPorts,
): Promise<NextHopAnswer> {
  const now = ports.clock.now();
  const gateway = gatewayClient(address.group);
  const config = ports.inForce()?.config;
  const rule = config?.systems.find(({ id }) => id === request.provider)?.upstream?.nextHop;
  const from = config?.integrations.find(({ id }) => id === request.integration)?.from;
  if (rule === undefined || from === undefined) return refuse(gateway, "next-hop-not-granted", ports);
  const read =
    request.token === null
      ? null
      : await readSubjectToken({ token: request.token, type: accessTokenUrn }, now, ports.subjects);
  if (read?.kind === "refused") return refuse(gateway, read.code, ports);
  const subject = read?.subject ?? null;
  const hopKey = ports.hopKeys.of(address.node)?.kid ?? null;
  if (hopKey === null && rule.bearer === undefined) return { kind: "unavailable", code: "no-hop-key" };
  const verdict = decideNextHop({
    ...{ issuer: ports.issuer, gateway, wanted: request, rule, from, subject, hopKey, now },
    directory: ports.directory(),
  });
  if (verdict.kind === "refuse") return refuse(gateway, verdict.code, ports);
  const decided = decidedOf({ address, request, gateway, rule, subject }, verdict.decision, from);
  const signable = makeSignable(decided, ports);
  if (signable.kind === "error") {
    if (signable.code === "no-active-key") return { kind: "unavailable", code: signable.code };
    return refuse(gateway, signable.code, ports, signable.about);
  }
  const asked = { address, request, gateway, rule, subject };
  if (rule.outside !== undefined) return askOutside(asked, signable.decision, ports);
  // Counted from the instant that was decided on, and never in another form: who verifies it knows no handles and has no key of ours.
  const clock = { now: () => now, monotonic: () => ports.clock.monotonic() };
  const { clock: _own, random, record } = ports;
  const { token, claims } = await mint(signable.decision, signable.signer, { clock, random, record });
  const scheme = claims.cnf === undefined ? "Bearer" : "DPoP";
  return { kind: "token", token, scheme, expiresAt: claims.exp * 1000, id: claims.jti };
}

/** As policies see it: the system that calls is the principal, and the client is the gateway, which proved itself on the channel. */
function decidedOf({ address, gateway, rule, subject }: Asked, decision: MintDecision, system: string): DecidedToken {
  const { tenant, environment, group, node } = address;
  const value = `sallyport://${tenant}/${environment}/${group}/${node}`;
  const client: IdentityClient = {
    id: gateway,
    system,
    keys: [],
    grantTypes: [],
    isPublic: false,
    redirectUris: [],
    lives: { machineSeconds: 0, userSeconds: 0, refreshMs: 0, refreshIdleMs: 0 },
    certificates: [],
    authentication: { method: "tls_client_auth", identity: { trust: "channel", kind: "uri", value } },
  };
  if (subject === null || decision.subject === undefined)
    return { decision, client, grantType: "client_credentials", address: "" };
  const as = rule.actor === "gateway" ? "delegate" : "impersonate";
  return { decision, client, grantType: "token-exchange", address: "", subjectIssuer: subject.from, as };
}

async function askOutside(asked: Asked, decision: ClearedDecision, ports: NextHopPorts): Promise<NextHopAnswer> {
  const { request, gateway, rule, subject } = asked;
  const { outside: endpoint } = rule;
  if (endpoint === undefined) throw new Error("a rule without an endpoint asks nobody outside");
  const operation = ports
    .inForce()
    ?.config.systems.find(({ id }) => id === request.provider)
    ?.operations.find(({ name }) => name === request.operation);
  const given = await ports.outside.ask({
    system: request.provider,
    endpoint,
    scope: operation?.nextHopScope ?? endpoint.scope,
    decision,
    client: subject?.client ?? null,
    of: decision.subject === undefined ? "" : JSON.stringify([subject?.id, request.integration, request.operation]),
  });
  if (given.kind === "refused") return refuse(gateway, given.code, ports);
  if (given.kind === "unavailable") return given;
  const id = hash("sha256", given.token, "base64url");
  const { clearance, audience, scopes, grants = [] } = decision;
  await ports.record.issued({
    client: gateway,
    audience,
    tokenId: id,
    proof: "bearer",
    expiresAt: given.expiresAt,
    grantType: clearance.grantType,
    subject: decision.subject?.id ?? null,
    grants,
    operations: scopes,
    policies: clearance.policies,
  });
  const token: NextHopToken = { kind: "token", token: given.token, scheme: "Bearer", expiresAt: given.expiresAt, id };
  return token;
}

async function refuse(
  client: string,
  code: string,
  { record }: Pick<NextHopPorts, "record">,
  about?: RefusedToken,
): Promise<NextHopAnswer> {
  await record.refused({ client, code, address: "", ...(about === undefined ? {} : { token: factsOf(about) }) });
  return { kind: "refused", code };
}
