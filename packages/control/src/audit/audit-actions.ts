// Promises every word an administrative record can have as its action, with the objects it names and the facts that are sealed with it.
// Trusts the tests beside it, which hold this table, the routes, the store's commands and docs/audit-actions.md equal in every direction.
// Specified in docs/audit-actions.md; leaf: docs/formats/leaf.md ("admin").

export interface ActionRow {
  /** `outbox`: with a change, in one transaction. `read`: durable before the answer to a proven operator. `appended`: durable before what it records goes on. */
  readonly way: "outbox" | "read" | "appended";
  /** Kinds of object: the part before the first `/`. */
  readonly objects: readonly string[];
  /** Names of the sealed facts, any of which may be absent. */
  readonly facts: readonly string[];
}

const words = (text: string): readonly string[] => (text === "" ? [] : text.split(" "));
const row = (way: ActionRow["way"]) => (objects: string, facts: string) => ({
  ...{ way, objects: words(objects), facts: words(facts) },
});
const outbox = row("outbox");
const read = row("read");
const appended = row("appended");

export const auditActions = {
  "act.refuse": appended("action", "action id code"),
  "alert.configure": appended("alert", "alerts"),
  "alert.list": read("alert", ""),
  "alert.replay": read("alert", "reason"),
  "alert.test": read("alert", ""),
  "api-key.add": outbox("api-key", "system integrations until follows followsUntil reason"),
  "api-key.end": outbox("api-key", "system reason"),
  "api-key.list": read("api-key", ""),
  "archive.list": read("archive", ""),
  "backup.create": outbox("backup", "to"),
  "checkpoint.list": read("checkpoint", ""),
  "checkpoint.refuse": outbox("gateway", "code origin note"),
  "client.key.add": outbox("client", "kid reason"),
  "client.key.code": outbox("client", "expiresAt reason"),
  "client.key.end": outbox("client", "kid tokensRevoked reason"),
  "client.key.enrol": outbox("client", "kid"),
  "client.keys": outbox("client", "keys added removed"),
  "client.list": read("client", ""),
  "client.secret.add": outbox("client", "secret follows followsUntil reason"),
  "client.secret.end": outbox("client", "secret tokensRevoked reason"),
  "control.restore": outbox(
    "backup group",
    "epoch backupAt states nodes keys operators joinTokens grants users integrations",
  ),
  "crossing.explain": read("crossing", "environment from operation for"),
  "crossing.read": read("crossing", ""),
  "data-encryption-key.list": read("data-encryption-key", ""),
  "data-encryption-key.rotate": outbox("data-encryption-key", "version keys reason"),
  "device.ask": outbox("device", "client"),
  "device.refuse": outbox("device", "client"),
  "edge.read": read("edge", "from to step"),
  "encryption-key.add": outbox("encryption-key", ""),
  "encryption-key.release": appended("encryption-key", "node"),
  "estate.apply": outbox(
    "system integration policy issuer trust approval estate environment witnesses",
    "step hash managedBy rule epoch released held objects",
  ),
  "estate.approval": outbox("approval", "rule"),
  "estate.approve": outbox("system integration policy issuer trust environment", "hash"),
  "estate.plan": read("estate", "files"),
  "exchange.list": read("exchange", ""),
  "export.configure": appended("export", "sinks"),
  "export.list": read("export", ""),
  "export.pause": read("export", "reason"),
  "export.replay": read("export", "fromIndex origin reason"),
  "export.resume": read("export", "reason"),
  "export.test": read("export", ""),
  "finding.acknowledge": outbox("finding", "from reason"),
  "finding.backtest": read("finding", "rule sinceMs"),
  "finding.list": read("finding", ""),
  "finding.raise": outbox("finding", "version severity kind subject firstAt lastAt count tells"),
  "finding.resolve": outbox("finding", "from reason"),
  "finding.show": read("finding", ""),
  "gateway.certificate": outbox("gateway", "thumbprint notAfter"),
  "gateway.join": outbox("gateway", "group"),
  "gateway.list": read("gateway", ""),
  "gateway.listener": appended("gateway", "names thumbprint notAfter"),
  "gateway.log-keys": appended("gateway", "epoch"),
  "gateway.revoke": outbox("gateway", "reason"),
  "gateway.token": outbox("group", "expiresAt"),
  "grant.allow": outbox("grant", "client"),
  "grant.end": outbox("grant", "client why"),
  "grant.redeem": outbox("grant", "client why"),
  "grant.refresh": outbox("grant", "client why"),
  "group.create": outbox("group", "region"),
  "hold.list": read("hold", ""),
  "hold.place": outbox("hold", "origin environment fromYear toYear owner reason"),
  "hold.release": outbox("hold", "reason"),
  "identity.ring": outbox("ring", "seq next active retiring gone"),
  "index.rebuild": read("index", ""),
  "integration.activate": outbox("integration", "from to reason"),
  "integration.list": read("integration", ""),
  "integration.retire": outbox("integration", "from to reason"),
  "integration.suspend": outbox("integration", "from to reason"),
  "issuer.list": read("issuer", ""),
  "issuer.show": read("issuer", ""),
  "key.create": outbox("key", "version"),
  "key.kill": outbox("ring", "seq next active retiring gone reason"),
  "key.list": read("key", ""),
  "key.rotate": outbox("ring", "seq next active retiring gone"),
  "log-finding.keep": outbox("log-finding", "origin witness"),
  "log-finding.list": read("log-finding", ""),
  "log.remove": outbox("log", "origin leaves retainedUntil"),
  "observe.read": read("observe", "sinceMs"),
  "operator.add": outbox("operator", "kid roles"),
  "operator.declare": outbox("operator", "managedBy roles keys"),
  "operator.remove": outbox("operator", "kid"),
  "payload.erase": outbox("data-subject", "keys reason"),
  "payload.expire": outbox("payload-key", "keys"),
  "payload.read": read("payload", "reason"),
  "payload.unlock": outbox("payload-key", "keys reason"),
  "policy.replay": read("policy", "files from to where"),
  "provider.key": outbox("provider", "kid"),
  "record.follow": read("record", "where from"),
  "record.search": read("record", "where from to limit"),
  "restore.confirm": outbox("restore", "activated waiting reason"),
  "retention.read": read("retention", ""),
  "revocation.create": outbox("revocation", "kind value until reason"),
  "rule.hold": outbox("rule", "version reason"),
  "rule.list": read("rule", ""),
  "rule.tell": outbox("rule", "version reason"),
  "rule.try": outbox("rule", "version sinceMs records findings whole tells"),
  "secret.create": outbox("secret", ""),
  "session.end": outbox("user", "session why count"),
  "session.list": read("session", ""),
  "session.raise": outbox("user", "session acr amr shown"),
  "session.start": outbox("user", "session acr amr device"),
  "session.tell": outbox("user", "session client outcome attempt why"),
  "session.undelivered": read("session", ""),
  "snapshot.publish": outbox("group", "epoch version manifest"),
  "status.read": read("status", ""),
  "token.inspect": read("token", "sha256"),
  "token.issue": outbox("client", "audience jti reason"),
  "token.revoke": outbox("revocation", "kind value"),
  "trust.keys": outbox("issuer", "keys added removed"),
  "user.add": outbox("user", "linkUntil provider"),
  "user.consent": outbox("user", "client providers scopes"),
  "user.consent-withdraw": outbox("user", "client grants reason"),
  "user.consents": read("user", ""),
  "user.disable": outbox("user", "reason"),
  "user.enable": outbox("user", "reason"),
  "user.link": outbox("user", "provider right reason"),
  "user.list": read("user", ""),
  "user.passkey-add": outbox("user", "right synced"),
  "user.passkey-remove": outbox("user", ""),
  "user.password": outbox("user", "right"),
  "user.recovery": outbox("user", "codes"),
  "user.recovery-used": outbox("user", "codesLeft"),
  "user.reset": outbox("user", "reason linkUntil"),
  "user.totp": outbox("user", "set"),
  "user.unlink": outbox("user", "provider"),
  "witness.list": read("witness", ""),
} as const satisfies Readonly<Record<string, ActionRow>>;

export type AuditAction = keyof typeof auditActions;

/** What a record says beyond its row of the table; empty when it keeps to it. Pure. */
export function undeclared(record: {
  readonly action: string;
  readonly object: string;
  readonly facts: Readonly<Record<string, unknown>>;
}): readonly string[] {
  if (!Object.hasOwn(auditActions, record.action)) return [`action ${record.action}`];
  // as: it is one of its own keys.
  const declared: ActionRow = auditActions[record.action as AuditAction];
  const kind = record.object.split("/", 1)[0] ?? "";
  const facts = Object.keys(record.facts).filter((name) => !declared.facts.includes(name));
  return [...(declared.objects.includes(kind) ? [] : [`object ${kind}`]), ...facts.map((name) => `fact ${name}`)];
}
