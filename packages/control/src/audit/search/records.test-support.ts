// Promises records of many kinds and sources for tests of what follows the log, the same for the same seed. Trusts nothing.
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";

export const startMs = 1_795_305_600_000;

export function originOf(node: string, changes: Partial<HeldOrigin> = {}): HeldOrigin {
  return {
    origin: `sallyport.local/main/production/${node}/gateway/2026`,
    tenant: "main",
    environment: "production",
    node,
    role: "gateway",
    year: 2026,
    size: 0,
    checkpoint: "",
    verifierKey: "",
    ...changes,
  };
}

/** A pseudonym that stands for a name in tests. */
export function pseudonymOf(name: string): string {
  return `2026:${Buffer.from(name.padEnd(16, "-").slice(0, 16)).toString("base64url")}`;
}

export interface CrossingChanges {
  readonly node?: string;
  readonly at?: number;
  readonly caller?: string | null;
  readonly subject?: string | null;
  readonly address?: string;
  readonly token?: string;
  readonly operation?: string;
  readonly integration?: string;
  readonly outcome?: "success" | "business-error" | "system-error" | "denied";
  readonly environment?: string;
  readonly totalUs?: number;
}

export const idOf = (node: string, n: number): string => `${node}-0${String(n).padStart(25, "0")}`;

function decided(n: number, changes: CrossingChanges) {
  const {
    node = "gw-1",
    caller = "orders",
    subject = null,
    token,
    address = "10.0.0.7",
    outcome = "success",
  } = changes;
  const isDenied = outcome === "denied";
  return {
    id: idOf(node, n),
    at: changes.at ?? startMs + n,
    tenant: "main",
    environment: changes.environment ?? "production",
    region: "eu",
    node,
    kind: "api",
    caller: caller === null ? null : pseudonymOf(caller),
    subject: subject === null ? null : pseudonymOf(subject),
    proof: "dpop",
    ...(token === undefined ? {} : { issuer: null, token: pseudonymOf(token) }),
    operation: changes.operation ?? "billing:invoice.read",
    integration: changes.integration ?? "orders-to-billing",
    mode: "enforce",
    verdict: isDenied ? "deny" : "allow",
    code: isDenied ? "not-granted" : null,
    stage: isDenied ? "bind" : null,
    policies: ["grant:orders-to-billing"],
    policySet: "5a".repeat(32),
    inputs: null,
    address: pseudonymOf(address),
    addressClass: "private",
  } as const;
}

const ended = ({ outcome = "success", totalUs = 1_850 }: CrossingChanges) => ({
  outcome,
  status: outcome === "denied" ? 403 : outcome === "success" ? 200 : 502,
  upstreamStatus: outcome === "success" ? 200 : 0,
  bytesIn: 10,
  bytesOut: 512,
  totalUs,
  upstreamUs: 900,
});

export const crossing = (n: number, changes: CrossingChanges = {}): Leaf => ({
  t: "crossing",
  ...decided(n, changes),
  ...ended(changes),
});

export const intent = (n: number, changes: CrossingChanges = {}): Leaf => ({ t: "intent", ...decided(n, changes) });

export function outcome(n: number, changes: CrossingChanges = {}): Leaf {
  const { id, at, tenant, environment, region, node } = decided(n, changes);
  return { t: "outcome", id, at: at + 5, tenant, environment, region, node, ...ended(changes) };
}

export function recordsOf(leaves: readonly Leaf[], from = 0): FoundRecord[] {
  return leaves.map((leaf, n) => ({ index: from + n, leaf: printLeaf(leaf), reference: null }));
}

/** Numbers from 0 to below 1 that look random and are not. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const pick = <T>(random: () => number, values: readonly [T, ...T[]]): T =>
  values[Math.floor(random() * values.length)] ?? values[0];

/** The n-th record of a busy installation: some effects, few denials, many callers and addresses. */
export function trafficLeaf(n: number, random: () => number, node: string): Leaf {
  const caller = `caller-${Math.floor(random() ** 3 * 60)}`;
  return crossing(n, {
    node,
    caller,
    subject: random() < 0.3 ? `user-${Math.floor(random() * 5_000)}` : null,
    address: `10.0.${Math.floor(random() * 8)}.${Math.floor(random() * 250)}`,
    token: `t-${caller}-${Math.floor(n / 20_000)}`,
    operation: `billing:invoice.${pick(random, ["read", "list", "create", "void"])}`,
    integration: `${caller}-to-billing`,
    outcome: pick(random, [
      "success",
      "success",
      "success",
      "success",
      "success",
      "success",
      "business-error",
      "denied",
    ]),
  });
}
