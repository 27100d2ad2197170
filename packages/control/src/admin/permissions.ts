// Promises which operator may use which admin route: every action of ../api.ts needs one permission, roles give permissions, and what is in no table is
// denied. Pure. Trusts whoever proved the operator for the roles. Specified in docs/admin-api.md "Who may".

/** From the most to the least; an operator may have several, which add up. */
export const operatorRoles = ["admin", "auditor", "viewer"] as const;
export type OperatorRole = (typeof operatorRoles)[number];

/** `read-audit`: what was recorded; `read-state`: what is declared, served and running; `administer`: everything else, and people's data. */
export const permissions = ["read-audit", "read-state", "administer"] as const;
export type Permission = (typeof permissions)[number];

const permissionsOf: Readonly<Record<OperatorRole, readonly Permission[]>> = {
  admin: permissions,
  auditor: ["read-audit"],
  viewer: ["read-state"],
};

/** Action of a route -> what it needs. A test holds the keys equal to the actions of ../api.ts. */
export const neededPermissions: Readonly<Record<string, Permission>> = {
  ...needs("read-audit", [
    ...["record.search", "record.follow", "edge.read", "crossing.read", "policy.replay"],
    ...["finding.list", "finding.show", "finding.backtest", "alert.list", "rule.list"],
    ...["checkpoint.list", "archive.list", "log-finding.list", "witness.list", "hold.list", "retention.read"],
  ]),
  ...needs("read-state", [
    ...["status.read", "estate.plan", "integration.list", "gateway.list", "key.list", "client.list", "api-key.list"],
    ...["data-encryption-key.list"],
    ...["observe.read", "crossing.explain", "export.list", "issuer.list", "issuer.show", "exchange.list"],
  ]),
  ...needs("administer", [
    ...["estate.apply", "integration.activate", "integration.suspend", "integration.retire", "restore.confirm"],
    ...["gateway.token", "gateway.revoke", "key.rotate", "key.kill", "revocation.create"],
    ...["data-encryption-key.rotate"],
    ...["export.test", "export.pause", "export.resume", "export.replay", "alert.test", "alert.replay"],
    ...["client.secret.add", "client.secret.end", "client.key.add", "client.key.code", "client.key.end"],
    ...["api-key.add", "api-key.end"],
    ...[
      "hold.place",
      "hold.release",
      "index.rebuild",
      "finding.acknowledge",
      "finding.resolve",
      "rule.tell",
      "rule.hold",
    ],
    ...["user.list", "user.add", "user.disable", "user.enable", "user.reset", "user.link"],
    ...["user.consents", "user.consent-withdraw", "session.list", "session.undelivered", "session.end"],
    ...["token.inspect", "token.issue"],
    // What was carried is about people, and not what was recorded of it.
    ...["payload.read", "payload.erase", "payload.unlock"],
  ]),
};

function needs(permission: Permission, actions: readonly string[]): Readonly<Record<string, Permission>> {
  return Object.fromEntries(actions.map((action) => [action, permission]));
}

export type PermissionVerdict = { readonly kind: "allow" } | { readonly kind: "deny"; readonly missing: Permission };

/** May whoever has these roles do this? An action without a row is an administrator's only on paper: nobody may. */
export function decidePermission(roles: readonly OperatorRole[], action: string): PermissionVerdict {
  if (!Object.hasOwn(neededPermissions, action)) return { kind: "deny", missing: "administer" };
  const needed = neededPermissions[action] ?? "administer";
  const has = roles.some((role) => permissionsOf[role].includes(needed));
  return has ? { kind: "allow" } : { kind: "deny", missing: needed };
}

/** The roles that give a permission, the least first. */
export const rolesWith = (permission: Permission): readonly OperatorRole[] =>
  operatorRoles.filter((role) => permissionsOf[role].includes(permission)).reverse();

/** Roles as they are stored; a word nobody knows gives nothing. */
export function parseRoles(text: string): readonly OperatorRole[] {
  const words = new Set(text.split(" "));
  return operatorRoles.filter((role) => words.has(role));
}

/** What every list gives, the administrator's including all others: a key that is declared twice may do what both allow. */
export function rolesInAll(lists: readonly (readonly OperatorRole[])[]): readonly OperatorRole[] {
  const [list = [], ...others] = lists;
  if (others.length === 0) return list;
  const isIn = (role: OperatorRole) => lists.every((roles) => roles.includes(role) || roles.includes("admin"));
  return isIn("admin") ? ["admin"] : operatorRoles.filter(isIn);
}
