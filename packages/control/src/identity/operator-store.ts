// Promises the operators that are rows: their keys and roles, and what estates say of theirs, each change with its record. Trusts the store to run each
// command in one transaction. Table: docs/identity.md "Tables"; who may do what: ../admin/permissions.ts.
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Statement } from "@sallyport/kernel/store/port.ts";
import { type OperatorRole, parseRoles } from "../admin/permissions.ts";

const operatorsMax = 1_000;

export interface StoredOperator {
  readonly id: string;
  readonly kid: string;
  readonly jwk: Readonly<Record<string, string>>;
  readonly roles: readonly OperatorRole[];
}

const readOperators: Command<{ readonly tenant: string }, readonly StoredOperator[]> = {
  audit: null,
  *body({ tenant }) {
    const rows = yield {
      sql: "SELECT id, kid, jwk, roles FROM identity_operator WHERE tenant = ? AND revoked_at IS NULL ORDER BY created_at, kid LIMIT ?",
      params: [tenant, operatorsMax],
    };
    // Written from the same type below.
    return rows.map((row) => ({
      id: String(row["id"]),
      kid: String(row["kid"]),
      jwk: JSON.parse(String(row["jwk"])) as StoredOperator["jwk"],
      roles: parseRoles(String(row["roles"])),
    }));
  },
};

/**
 * Adds an operator's public key; with `onlyFirst` only while the tenant never had one, so that two starts make one and removing all is no
 * way back in. A restore ends every operator's key, so after it there is a first one again.
 */
const addOperator: Command<
  StoredOperator & { readonly tenant: string; readonly actor: string; readonly onlyFirst: boolean },
  boolean
> = {
  audit: "operator.add",
  *body({ tenant, id, kid, jwk, roles, actor, onlyFirst }, context) {
    const there = yield {
      sql: `SELECT kid FROM identity_operator WHERE tenant = ? AND (kid = ? OR (? = 1 AND created_at >= (SELECT coalesce(max(restored_at), 0) FROM backup_restore)))
        LIMIT 1`,
      params: [tenant, kid, onlyFirst ? 1 : 0],
    };
    if (there.length > 0) return false;
    yield {
      sql: "INSERT INTO identity_operator (tenant, id, kid, jwk, roles, created_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, NULL)",
      params: [tenant, id, kid, JSON.stringify(jwk), roles.join(" "), context.now],
    };
    yield operatorAudit(context, { tenant, actor, action: "operator.add", id, facts: { kid, roles: roles.join(" ") } });
    return true;
  },
};

const removeOperatorKey: Command<{ readonly tenant: string; readonly kid: string; readonly actor: string }, boolean> = {
  audit: "operator.remove",
  *body({ tenant, kid, actor }, context) {
    const [row] = yield {
      sql: "UPDATE identity_operator SET revoked_at = ? WHERE tenant = ? AND kid = ? AND revoked_at IS NULL RETURNING id",
      params: [context.now, tenant, kid],
    };
    if (row === undefined) return false;
    yield operatorAudit(context, { tenant, actor, action: "operator.remove", id: String(row["id"]), facts: { kid } });
    return true;
  },
};

function operatorAudit(
  context: CommandContext,
  act: {
    readonly tenant: string;
    readonly actor: string;
    readonly action: string;
    readonly id: string;
    readonly facts: Readonly<Record<string, string>>;
  },
): Statement {
  const { tenant, actor, action, id, facts } = act;
  return actStatement(context, {
    tenant,
    environment: "sallyport",
    actor,
    action,
    object: `operator/${id}`,
    facts,
  });
}

/** What an estate says of one operator, in words that can be compared. */
export interface DeclaredOperator {
  readonly id: string;
  /** Joined by a space. */
  readonly roles: string;
  /** Thumbprints, joined by a space. */
  readonly keys: string;
}

/** Records what an estate says of its operators where it differs from what it said before: who may do what from now on. */
const declareOperators: Command<
  {
    readonly tenant: string;
    readonly managedBy: string;
    readonly actor: string;
    readonly operators: readonly DeclaredOperator[];
  },
  number
> = {
  audit: "operator.declare",
  *body({ tenant, managedBy, actor, operators }, context) {
    const rows = yield {
      sql: "SELECT id, roles, keys FROM identity_declared_operator WHERE tenant = ? AND managed_by = ? ORDER BY id LIMIT ?",
      params: [tenant, managedBy, operatorsMax],
    };
    const before = new Map(
      rows.map((row) => [String(row["id"]), [String(row["roles"]), String(row["keys"])] as const]),
    );
    let changed = 0;
    for (const { id, roles, keys } of operators) {
      const [hadRoles, hadKeys] = before.get(id) ?? [];
      before.delete(id);
      if (hadRoles === roles && hadKeys === keys) continue;
      changed += 1;
      yield {
        sql: `INSERT INTO identity_declared_operator (tenant, managed_by, id, roles, keys) VALUES (?, ?, ?, ?, ?)
          ON CONFLICT (tenant, managed_by, id) DO UPDATE SET roles = excluded.roles, keys = excluded.keys`,
        params: [tenant, managedBy, id, roles, keys],
      };
      yield operatorAudit(context, {
        tenant,
        actor,
        action: "operator.declare",
        id,
        facts: { managedBy, roles, keys },
      });
    }
    for (const id of before.keys()) {
      changed += 1;
      yield {
        sql: "DELETE FROM identity_declared_operator WHERE tenant = ? AND managed_by = ? AND id = ?",
        params: [tenant, managedBy, id],
      };
      const facts = { managedBy, roles: "", keys: "" };
      yield operatorAudit(context, { tenant, actor, action: "operator.declare", id, facts });
    }
    return changed;
  },
};

/** Ids of the operators that estates declare. */
const listDeclaredOperators: Command<{ readonly tenant: string }, readonly string[]> = {
  audit: null,
  *body({ tenant }) {
    const rows = yield {
      sql: "SELECT DISTINCT id FROM identity_declared_operator WHERE tenant = ? ORDER BY id LIMIT ?",
      params: [tenant, operatorsMax],
    };
    return rows.map((row) => String(row["id"]));
  },
};

export const operatorCommands = {
  readOperators,
  listDeclaredOperators,
  addOperator,
  removeOperatorKey,
  declareOperators,
} satisfies CommandTable;
