// Promises that every key of the configuration has somebody who obeys it: the place in the product that reads its value at last, or the reason why
// it is there for people only. Trusts the generated reference for the list of keys. Specified in DESIGN §12 (config accepted but not enforced is a hole).
import { mask, type SourceFile, type Violation } from "./source-text.ts";

/** Where a value has its effect: a file, and code in it that reads the value (strings and comments do not count as code). */
export interface Obeyed {
  readonly by: string;
  readonly reads: string;
}

/** Nobody obeys it, because it says something to people. */
export interface ForPeople {
  readonly forPeople: string;
}

export type Reader = Obeyed | ForPeople;

const config = "packages/control/src/registry/config";
const gateway = "packages/gateway/src";
const people = "packages/control/src/identity/people";
const elsewhere = `${people}/outside`;
const identity = "packages/control/src/identity";
const obeyed = (by: string, reads: string): Obeyed => ({ by, reads });
const forPeople = (reason: string): ForPeople => ({ forPeople: reason });

const staleness = obeyed(`${gateway}/authorize/staleness.ts`, "inputs.boundsMs[inputs.classification]");
const linked = obeyed(`${config}/link.ts`, "config[end]");
const certificate = obeyed(
  `${gateway}/identify/certificate.ts`,
  "judgePeer({ peer, identity: declared.identity, trust",
);
const clients = "packages/control/src/identity/clients";
const fetchJwks = "packages/control/src/identity/trust/fetch-jwks.ts";
const dialOnce = "packages/control/src/identity/dial-once.ts";
const keySource = obeyed("packages/control/src/identity/trust/key-sources.ts", "name === named");
const tlsName = obeyed(`${clients}/tls-client.ts`, "judgePeer({ peer: peer.peer, identity, trust");
const lives = {
  machine: obeyed(`${identity}/decide-issuance.ts`, "client.lives.machineSeconds"),
  user: obeyed(`${identity}/oauth/grant-facts.ts`, "client.lives.userSeconds"),
  refresh: obeyed(`${identity}/oauth/desk.ts`, "client.lives.refreshMs"),
  refreshIdle: obeyed(`${identity}/oauth/refresh-grant.ts`, "client.lives.refreshIdleMs"),
};
const mode = obeyed(`${gateway}/snapshot/estate.ts`, "said?.mode ===");
const until = obeyed(`${gateway}/observe/decide-pass.ts`, "untilMs > judgedAtMs(exchange)");
const unenforced = forPeople("why enforcement is left out; that it is written is checked");
const stepUp = obeyed(`${gateway}/snapshot/estate.ts`, "stricterStepUp(object.stepUp, source.stepUp)");
const sited = obeyed(`${config}/load.ts`, "sited.names.includes(rules.name)");

const waivers = `packages/control/src/registry/lint/waivers.ts`;
const waiverReaders: Readonly<Record<string, Reader>> = {
  "waivers[].rule": obeyed(waivers, "waiver.rule !== rule"),
  "waivers[].reason": obeyed(waivers, "waived: { reason"),
  "waivers[].owner": obeyed(waivers, "known.teams.has(team)"),
  "waivers[].until": obeyed(waivers, "until > from.now"),
  "waivers[].at": obeyed(waivers, "path === at"),
};

const estateReaders: Readonly<Record<string, Reader>> = {
  estate: obeyed("packages/control/src/registry/decide-apply.ts", "there.managedBy !== input.managedBy"),
  tenant: forPeople("one value is accepted, the tenant every installation has in this version"),
  "environments.<name>.approval": obeyed("packages/control/src/registry/decide-apply.ts", "input.approval("),
  "environments.<name>.staleness.public": staleness,
  "environments.<name>.staleness.internal": staleness,
  "environments.<name>.staleness.confidential": staleness,
  "environments.<name>.staleness.restricted": staleness,
  "environments.<name>.mode": mode,
  "environments.<name>.until": until,
  "environments.<name>.people.providers.<name>.issuer": obeyed(
    `${elsewhere}/provider-client.ts`,
    "issuer !== config.issuer",
  ),
  "environments.<name>.people.providers.<name>.client": obeyed(
    `${elsewhere}/provider-client.ts`,
    "config.client, undefined",
  ),
  "environments.<name>.people.providers.<name>.name": obeyed(`${people}/pages/login-pages.ts`, "({ id, name })"),
  "environments.<name>.people.providers.<name>.acr": obeyed(
    `${people}/routes/outside-routes.ts`,
    "acr: client.config.acr",
  ),
  "environments.<name>.people.providers.<name>.jit": obeyed(`${people}/routes/outside-routes.ts`, "!config.jit"),
  "environments.<name>.people.providers.<name>.allowPrivate": obeyed(
    `${elsewhere}/providers.ts`,
    "allowPrivate ? hostOf(new URL(issuer))",
  ),
  "environments.<name>.people.providers.<name>.tls.ca": obeyed(`${elsewhere}/providers.ts`, "name === trust"),
  "environments.<name>.tokens.algorithm": obeyed(`${identity}/decide-ring.ts`, "active.alg !== alg"),
  "environments.<name>.tokens.rotateEvery": obeyed(`${identity}/decide-ring.ts`, ">= rotateEveryMs"),
  "environments.<name>.tokens.machine": lives.machine,
  "environments.<name>.tokens.user": lives.user,
  "environments.<name>.tokens.refresh": lives.refresh,
  "environments.<name>.tokens.refreshIdle": lives.refreshIdle,
  "environments.<name>.people.signIn": obeyed(`${people}/login.ts`, "signIn.includes(way)"),
  "environments.<name>.people.idle": obeyed(`${people}/sessions.ts`, "idleMs: limits.idleMs"),
  "environments.<name>.people.absolute": obeyed(`${people}/session-commands.ts`, "now + input.absoluteMs"),
  "environments.<name>.reason": unenforced,
  "teams.<name>.name": forPeople("the name of a team"),
  "teams.<name>.contact": forPeople("where a team is reached"),
  "listeners.<name>.serves": obeyed("packages/control/src/snapshot/compile-snapshot.ts", "serves ==="),
  "listeners.<name>.url": obeyed(`${gateway}/gateway.ts`, "listener.use(estate.roots, estate.object.listeners)"),
  "listeners.<name>.environments": obeyed(`${config}/load.ts`, "environments.includes(environment.name)"),
  "listeners.<name>.region": obeyed("packages/control/src/snapshot/compile-snapshot.ts", "region === input.region"),
  "witnesses.quorum": obeyed("packages/control/src/audit/quorum.ts", "witnesses.length === 0 || quorum ==="),
  "witnesses.outside.<name>.url": obeyed("packages/kernel/src/witness/http-witness.ts", "new URL(outside.url)"),
  "witnesses.outside.<name>.key": obeyed("packages/kernel/src/witness/http-witness.ts", "outside.key"),
  "witnesses.outside.<name>.allowPrivate": obeyed(
    "packages/kernel/src/witness/http-witness.ts",
    "outside.allowPrivate ? [host] : []",
  ),
  "witnesses.logs.<name>.key": obeyed("packages/control/src/audit/outside-logs.ts", "parseVerifierKey(sha256, key)"),
  "witnesses.logs.<name>.everyYear": obeyed("packages/control/src/audit/outside-logs.ts", "everyYear && sameLog"),
  "operators.<name>.name": forPeople("the name of a person; rights belong to keys"),
  "operators.<name>.keys": obeyed("packages/control/src/identity/operators-at-work.ts", "keys.flatMap((jwk)"),
  "operators.<name>.roles": obeyed("packages/control/src/identity/operators-at-work.ts", "operator.roles.join"),
  ...waiverReaders,
  "waivers[].file": obeyed(waivers, "source.file ?? file"),
};

const systemReaders: Readonly<Record<string, Reader>> = {
  mode,
  until,
  reason: unenforced,
  "passthrough.until": obeyed(`${gateway}/route/stage.ts`, "undeclared.untilMs <= atMs"),
  "passthrough.reason": unenforced,
  system: obeyed(`${gateway}/authorize/decision-inputs.ts`, "id: caller.id"),
  owner: obeyed(`${config}/link.ts`, "checkOwner(config.owner"),
  description: forPeople("what the system is"),
  zone: obeyed(`${gateway}/authorize/decision-inputs.ts`, "caller.object.zone"),
  url: obeyed(`${gateway}/snapshot/estate.ts`, "host: url.hostname"),
  allowPrivate: obeyed(`${gateway}/forward/upstream-pools.ts`, "declared?.allowPrivate"),
  "tls.ca": obeyed(`${gateway}/forward/upstream-pools.ts`, "ca: declared.ca"),
  "public.host": obeyed(`${gateway}/route/router.ts`, "system.public.host"),
  "public.path": obeyed(`${gateway}/route/router.ts`, "segmentsOf(system.public.path)"),
  "public.strip": obeyed(`${gateway}/forward/stage.ts`, "system.public.strip"),
  "identity.client": obeyed(`${gateway}/identify/identify.ts`, "estate.systemOfClient.get("),
  "identity.public": obeyed("packages/control/src/identity/private-key-jwt.ts", "client.isPublic"),
  "identity.grants": obeyed("packages/control/src/identity/provider.ts", "client.grantTypes.filter"),
  "identity.redirectUris": obeyed("packages/control/src/identity/authorization-shell.ts", "client.redirectUris"),
  "identity.signedRequests": obeyed("packages/control/src/identity/authorization-shell.ts", "client.signsRequests"),
  "identity.tokens.machine": lives.machine,
  "identity.tokens.user": lives.user,
  "identity.tokens.refresh": lives.refresh,
  "identity.tokens.refreshIdle": lives.refreshIdle,
  "identity.postLogoutRedirectUris": obeyed(`${people}/decide-logout.ts`, "postLogoutRedirectUris.includes(uri)"),
  "identity.backchannelLogout.uri": obeyed(`${people}/send-logout.ts`, "dialPlace(dialer, place"),
  "identity.backchannelLogout.allowPrivate": obeyed(dialOnce, "allowPrivate ? hostOf(url) : null"),
  "identity.backchannelLogout.tls.ca": obeyed(`${people}/send-logout.ts`, "name === trust"),
  "identity.keys": obeyed("packages/control/src/identity/directory.ts", "keys.map((jwk)"),
  "identity.jwksUri": obeyed(fetchJwks, "dialPlace(dialer, place"),
  "identity.jwksServer.ca": keySource,
  "identity.jwksServer.allowPrivate": obeyed(dialOnce, "allowPrivate ? hostOf(url) : null"),
  "identity.tls.trust": obeyed(`${clients}/tls-client.ts`, "bundles.get(identity.trust)"),
  "identity.tls.uri": tlsName,
  "identity.tls.dns": tlsName,
  "identity.tls.ip": tlsName,
  "identity.tls.email": tlsName,
  "identity.tls.subject": tlsName,
  "identity.tls.selfSigned": obeyed(`${clients}/tls-client.ts`, "authentication.x5t.includes(peer.peer.x5t)"),
  "identity.secrets.reason": forPeople("why a secret is accepted; that it is written is checked"),
  "identity.secrets.until": obeyed(`${clients}/secret.ts`, "way.untilMs <= now"),
  "identity.certificate.trust": obeyed(`${gateway}/identify/certificate.ts`, "bundles.get(declared.identity.trust)"),
  "identity.certificate.uri": certificate,
  "identity.certificate.dns": certificate,
  "identity.certificate.x5t": certificate,
  "tokens.form": obeyed("packages/control/src/identity/tokens/forms.ts", "directory().tokenForm("),
  "tokens.algorithm": obeyed("packages/control/src/identity/token-grant.ts", "ports.legacySigner(algorithm)"),
  "tokens.reason": forPeople("why its tokens are signed with RSA"),
  "tokens.until": obeyed("packages/control/src/identity/directory.ts", "now < legacy.untilMs"),
  attributes: obeyed(`${gateway}/authorize/decision-inputs.ts`, "caller.object.attributes"),
  "operations.<name>.match": obeyed(`${gateway}/route/router.ts`, "segmentsOf(operation.path)"),
  "operations.<name>.description": forPeople("what the operation does"),
  "operations.<name>.data": obeyed(`${config}/read-system.ts`, "...from.source.data"),
  "operations.<name>.classification": obeyed(`${gateway}/authorize/stage.ts`, "operation.object.classification"),
  "operations.<name>.authorize": obeyed("packages/kernel/src/policy/compile-slice.ts", "input.authorize ==="),
  "operations.<name>.attributes.<name>.from": obeyed(`${gateway}/authorize/attributes.ts`, "source.from ==="),
  "operations.<name>.attributes.<name>.type": obeyed(`${gateway}/authorize/attributes.ts`, "source.type ==="),
  "operations.<name>.body.schema": obeyed(`${gateway}/inspect/stage.ts`, "schemas.check(schema"),
  "operations.<name>.body.contentType": obeyed(`${gateway}/inspect/content.ts`, "declared.contentType"),
  "operations.<name>.body.size": obeyed(`${gateway}/inspect/content.ts`, "> inputs.bodyBytesMax"),
  "operations.<name>.timeout": obeyed(`${gateway}/forward/stage.ts`, "timeoutMs: bounds.timeoutMs"),
  "operations.<name>.outcome.business-error": obeyed(`${gateway}/record/settle.ts`, "businessErrors.includes(status)"),
  "operations.<name>.payload.keep": obeyed(`${gateway}/payloads/keep.ts`, "rule.request !== undefined"),
  "operations.<name>.payload.subject": obeyed(`${gateway}/payloads/keep.ts`, "dataSubjectOf(exchange, rule.subject)"),
  "operations.<name>.payload.days": obeyed("packages/control/src/payloads/payload-keys.ts", "(days + 1) * dayMs"),
  "operations.<name>.payload.drop": obeyed(`${config}/project-schema.ts`, "this.#dropped.has(one"),
  "operations.<name>.payload.responseSchema": obeyed(`${gateway}/payloads/keep.ts`, "projection: rule.response"),
  "operations.<name>.payload.size": obeyed(`${gateway}/payloads/keep.ts`, "kept.length > bytesMax"),
  "operations.<name>.acr": stepUp,
  "operations.<name>.maxAge": stepUp,
  "operations.<name>.offline": obeyed(`${gateway}/authorize/staleness.ts`, "inputs.offline ==="),
  "operations.<name>.record": obeyed(`${gateway}/record/early-answers.ts`, "record ==="),
  "uses[].to": obeyed(`${config}/read-integration.ts`, "textAt(entry, ["),
  "uses[].purpose": forPeople("the purpose of an integration"),
  "uses[].operations": obeyed(`${config}/read-integration.ts`, "source.operations"),
  environments: sited,
  ...waiverReaders,
};

const exchange = "packages/control/src/identity/exchange/decide-exchange.ts";
const integrationReaders: Readonly<Record<string, Reader>> = {
  mode,
  until,
  reason: unenforced,
  integration: obeyed(`${gateway}/bind/decide.ts`, "integration.id"),
  from: linked,
  to: linked,
  kind: forPeople("one value is accepted, the only kind of this version"),
  owner: obeyed(`${gateway}/bind/decide.ts`, "integration.owner"),
  purpose: forPeople("why data crosses, for reviewers and auditors"),
  review: obeyed(`${config}/read-integration.ts`, "config.reviewMs <= now"),
  expires: obeyed(`${gateway}/bind/decide.ts`, "inputs.nowMs >= integration.expiresAtMs"),
  onExpiry: obeyed("packages/control/src/snapshot/compile-objects.ts", "integration.onExpiry ==="),
  "proof.accept": obeyed(`${gateway}/authorize/decide.ts`, "integration.proof.includes(principal.proof.kind)"),
  "proof.reason": forPeople("why a weaker proof is accepted; that it is written is checked"),
  "proof.until": obeyed("packages/control/src/snapshot/compile-objects.ts", "(bearerUntilMs ?? 0) > now"),
  "limits[].per": obeyed(`${gateway}/snapshot/estate.ts`, "limit.rule.per ==="),
  "limits[].rate": obeyed(`${gateway}/limit/gcra.ts`, "/ rule.rate"),
  "limits[].burst": obeyed(`${gateway}/limit/gcra.ts`, "rule.burst - 1"),
  "exchange[].subject": obeyed(exchange, "rule.subject === from"),
  "exchange[].as": obeyed(exchange, "rule.as ==="),
  "exchange[].operations": obeyed(exchange, "rule.operations.filter("),
  "exchange[].carries": obeyed(exchange, "carries[word]"),
  "exchange[].depth": obeyed(exchange, "Math.min(rule.depth"),
  "exchange[].binding": obeyed(exchange, "rule.binding ==="),
  "operations.<name>.body": obeyed(`${gateway}/snapshot/estate.ts`, "source.bodyBytesMax ??"),
  "operations.<name>.timeout": obeyed(`${gateway}/snapshot/estate.ts`, "source.timeoutMs ??"),
  "operations.<name>.acr": stepUp,
  "operations.<name>.maxAge": stepUp,
  environments: sited,
  ...waiverReaders,
};

const outside = "packages/protocol/src/token/outside-token.ts";
const trusted = "packages/control/src/identity/trust/trusted-issuers.ts";
const presented = "packages/protocol/src/token/outside-access-token.ts";
const issuerReaders: Readonly<Record<string, Reader>> = {
  issuer: obeyed("packages/control/src/identity/trust/jwks-keeper.ts", "this.#held.get(owner)"),
  description: forPeople("whose tokens these are"),
  url: obeyed(outside, "members.iss !== rules.issuer"),
  preset: obeyed(`${config}/read-issuer.ts`, "presets[source.preset]"),
  algorithms: obeyed(outside, "rules.algorithms.some("),
  audiences: obeyed(outside, "audiences.includes(one)"),
  companions: obeyed(outside, "rules.companions.includes(one)"),
  parties: obeyed(outside, "rules.parties.includes(claims.party)"),
  lifetime: obeyed(outside, "rules.lifetimeSecondsMax, outsideLifetimeSecondsMax"),
  jwks: obeyed(trusted, "importOutsideKeys(keys.keys)"),
  jwksUri: obeyed(fetchJwks, "dialPlace(dialer, place"),
  allowPrivate: obeyed(dialOnce, "allowPrivate ? hostOf(url) : null"),
  "tls.ca": keySource,
  "systems[].system": obeyed("packages/control/src/identity/trust/assertion-grant.ts", "client.system === system"),
  "systems[].subject": obeyed("packages/protocol/src/token/outside-mapping.ts", "claims.sub !== subject"),
  "systems[].claims": obeyed("packages/protocol/src/token/outside-mapping.ts", "textAt(members, name) === value"),
  "gateways[].system": obeyed("packages/gateway/src/identify/outside.ts", "estate.systems.get(signed.rule.system)"),
  "gateways[].party": obeyed("packages/protocol/src/token/outside-mapping.ts", "claims.party !== party"),
  "gateways[].subject": obeyed("packages/protocol/src/token/outside-mapping.ts", "claims.sub !== subject"),
  "gateways[].claims": obeyed("packages/protocol/src/token/outside-mapping.ts", "textAt(members, name) === value"),
  "gateways[].speaksFor": obeyed("packages/gateway/src/identify/outside.ts", "rule.speaksFor ==="),
  "gateways[].audiences": obeyed(presented, "Object.hasOwn(rule.audiences, one)"),
  "gateways[].carries": obeyed(presented, "Object.hasOwn(carries, word)"),
  "gateways[].acr": obeyed(presented, "Object.hasOwn(rule.acr, said)"),
  environments: obeyed(`${config}/load.ts`, "includes(rules.name)"),
  ...waiverReaders,
};

export const configReaders: Readonly<Record<string, Readonly<Record<string, Reader>>>> = {
  "sallyport.yaml": estateReaders,
  "systems/<id>.yaml": systemReaders,
  "integrations/<id>.yaml": integrationReaders,
  "teams/<id>.yaml": {
    team: obeyed(`${config}/link.ts`, "names.teams.has(team)"),
    name: forPeople("the name of a team"),
    contact: forPeople("where a team is reached"),
  },
  "trust/<name>.yaml": {
    trust: obeyed(`${config}/link.ts`, "environment.trust.get(name)"),
    description: forPeople("whose certificates a bundle accepts"),
    roots: obeyed(`${gateway}/snapshot/estate.ts`, "one.roots"),
    environments: sited,
    ...waiverReaders,
  },
  "issuers/<id>.yaml": issuerReaders,
};

/** The keys that hold a value: those below which no other key stands. */
export function leafKeys(rows: readonly { readonly file: string; readonly key: string }[]): readonly string[] {
  const isAbove = (key: string, other: string): boolean => other.startsWith(`${key}.`) || other.startsWith(`${key}[`);
  return rows
    .filter(({ file, key }) => !rows.some((other) => other.file === file && isAbove(key, other.key)))
    .map(({ file, key }) => `${file} ${key}`);
}

/** Keys without a reader, readers without a key, and readers that do not read (any more). */
export function unreadKeys(
  keys: readonly string[],
  readers: typeof configReaders,
  files: readonly SourceFile[],
): readonly Violation[] {
  const listed = new Map<string, Reader>(
    Object.entries(readers).flatMap(([file, own]) =>
      Object.entries(own).map(([key, reader]) => [`${file} ${key}`, reader] as const),
    ),
  );
  const at = { path: "tools/tidy/config-readers.ts", line: 1 };
  const code = new Map(files.map((file) => [file.path, file] as const));
  return [
    ...keys
      .filter((key) => !listed.has(key))
      .map((key) => ({
        ...at,
        message: `${key} is accepted; name who obeys it, or refuse it in registry/config/later-keys.ts`,
      })),
    ...[...listed].flatMap(([key, reader]): Violation[] => {
      if (!keys.includes(key)) return [{ ...at, message: `${key} is not a key of the configuration: remove the row` }];
      if ("forPeople" in reader) return [];
      const source = code.get(reader.by);
      const reads = source !== undefined && mask(source.text).code.includes(reader.reads);
      return reads ? [] : [{ ...at, message: `${key}: ${reader.by} does not contain \`${reader.reads}\`` }];
    }),
  ];
}
