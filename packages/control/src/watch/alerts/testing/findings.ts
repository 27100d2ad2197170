// Promises findings and the records that raise them, one by one, for tests. Trusts the printer to refuse a leaf that cannot exist.
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { Finding } from "../../finding.ts";

export const startAt = 1_795_305_600_000;
export const ownOrigin = "sallyport.local/main/sallyport/control-1/control/2026";
const actor = "2026:abcdefghijklmnopqrstuQ";

/** `fnd-` and a ULID that ends in the number. */
export const findingId = (n: number): string => `fnd-01KAMZZZZZ${String(n).padStart(16, "0")}`;

export function newFinding(n: number, more: Partial<Finding> = {}): Finding {
  return {
    ...{ id: findingId(n), environment: "production", rule: "token-audience", version: 1, severity: "high" },
    ...{ subject: { kind: "caller", name: `2026:${String(n).padStart(21, "0")}Q` }, firstAt: startAt },
    ...{ lastAt: startAt + 1_000, count: 1, evidence: [], facts: { code: "token-audience" }, state: "open" },
    ...{ tells: true, change: null },
    ...more,
  };
}

/** A record of control's log: the n-th finding was raised; null: some other act. */
export function record(index: number, n: number | null): FoundRecord {
  const leaf = printLeaf({
    ...{ t: "admin", id: `control-1-01KAMZZZZZ${String(index).padStart(16, "0")}`, at: startAt, tenant: "main" },
    ...{ environment: "production", region: "default", node: "control-1", actor },
    ...(n === null
      ? { action: "status.read", object: "status" }
      : { action: "finding.raise", object: `finding/token-audience/${findingId(n)}` }),
    facts: "ab".repeat(32),
  });
  return { index, leaf, reference: null };
}

/** Control's own log with so many records. */
export function ownLog(size: number, origin: string = ownOrigin): HeldOrigin {
  return {
    ...{ origin, tenant: "main", environment: "sallyport", node: "control-1", role: "control", year: 2026 },
    ...{ size, checkpoint: "", verifierKey: "" },
  } as const;
}
