// Promises records of a log as rules see them, built one by one, for tests. Trusts the printer to refuse a leaf that cannot exist.
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";

export const startAt = 1_795_305_600_000;
const place = { tenant: "main", environment: "production", region: "eu", node: "gw-1" };

/** The n-th pseudonym. */
export function pseudonym(n: number): string {
  return `2026:${String(n).padStart(21, "0")}Q`;
}

const decision = {
  kind: "api",
  subject: null,
  proof: null,
  operation: "billing:invoice.read",
  integration: null,
  policies: [],
  policySet: null,
  inputs: null,
  addressClass: "private",
} as const;
const denied = {
  outcome: "denied",
  status: 403,
  upstreamStatus: 0,
  bytesIn: 0,
  bytesOut: 0,
  totalUs: 9,
  upstreamUs: 0,
} as const;

export interface Said {
  readonly code: string;
  /** Milliseconds after `startAt`. */
  readonly after?: number;
  readonly environment?: string;
  /** Pseudonyms, by number. */
  readonly caller?: number;
  readonly token?: number;
  readonly address?: number;
  readonly mode?: "enforce" | "observe";
}

/** A crossing that was denied, or (in observe mode) would have been. */
export function deniedCrossing({ code, after = 0, environment, caller, token, address, mode = "enforce" }: Said): Leaf {
  return {
    ...{ t: "crossing", id: "gw-1-01KAMZZZZZ0000000000000000", at: startAt + after, ...place, ...decision, ...denied },
    ...(environment === undefined ? {} : { environment }),
    ...{ caller: caller === undefined ? null : pseudonym(caller), mode, verdict: "deny", stage: "authorize" },
    ...(mode === "observe" ? { outcome: "success", status: 200 } : {}),
    ...(token === undefined ? {} : { token: pseudonym(token) }),
    address: address === undefined ? null : pseudonym(address),
    // as: a test may ask for any code.
    code: code as Extract<Leaf, { t: "crossing" }>["code"],
  };
}

/** A token that was refused, to a proven client or (null) a stranger. */
export function refusedToken(code: string, client: number | null, after = 0): Leaf {
  return {
    ...{ t: "issuance", id: "control-01KAMZZZZZ0000000000000000", at: startAt + after, ...place },
    ...{ client: client === null ? null : pseudonym(client), audience: null, verdict: "deny", code, token: null },
    ...{ proof: null, expiresAt: 0, grantType: null, subject: null, grants: [], operations: null, policies: [] },
    inputs: null,
  };
}

export function countedDenials(code: string, network: number, count: number): Leaf {
  return {
    ...{ t: "denials", id: "gw-1-01KAMZZZZZ0000000000000000", at: startAt, ...place },
    // as: a test may ask for any code.
    code: code as Extract<Leaf, { t: "denials" }>["code"],
    ...{ prefix: pseudonym(network), count, windowMs: 10_000 },
  };
}

/** A record as a later version may write it: bytes that are no leaf here. */
export function laterLeaf(n: number): Uint8Array {
  return Buffer.from(
    `{"v":9,"t":"crossing","id":"gw-1-01KAMZZZZZ000000000000000${n % 10}","at":${startAt},"more":${n}}`,
  );
}

export const originName = (node: string) => `sallyport.local/main/production/${node}/gateway/2026`;

/** Logs in memory. */
export class MemoryRecords implements Pick<HeldRecords, "origins" | "read"> {
  readonly #leaves = new Map<string, Uint8Array[]>();

  append(node: string, ...leaves: readonly Leaf[]): void {
    this.appendBytes(node, ...leaves.map((leaf) => printLeaf(leaf)));
  }

  /** Bytes that need be no leaf. */
  appendBytes(node: string, ...leaves: readonly Uint8Array[]): void {
    const origin = originName(node);
    this.#leaves.set(origin, [...(this.#leaves.get(origin) ?? []), ...leaves]);
  }

  async origins(): Promise<HeldOrigin[]> {
    return [...this.#leaves].map(([origin, leaves]) => ({
      ...{ origin, size: leaves.length, tenant: "main", environment: "production", node: "gw-1", role: "gateway" },
      ...{ year: 2026, checkpoint: "", verifierKey: "" },
    }));
  }

  async read(origin: string, from: number, max: number): Promise<FoundRecord[]> {
    const leaves = this.#leaves.get(origin) ?? [];
    return leaves.slice(from, from + max).map((leaf, at) => ({ index: from + at, leaf, reference: null }));
  }
}
