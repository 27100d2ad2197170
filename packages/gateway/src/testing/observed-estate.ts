// Promises the marketplace with what a test lets pass: billing under observe, under passthrough, or one integration alone; a second provider
// that stays enforced beside it. Trusts nothing. Shapes: test-estate.ts.

import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { DatedException, ModeObject } from "@sallyport/protocol/snapshot/objects.ts";
import { marketplace } from "./marketplace-estate.ts";
import type { TestEstate, TestSystem } from "./test-estate.ts";
import type { Bench } from "./three-ways.ts";

export interface Exceptions {
  readonly environment?: ModeObject;
  readonly billing?: ModeObject;
  readonly passthrough?: DatedException;
  /** By integration id. */
  readonly integrations?: Readonly<Record<string, ModeObject>>;
  /** By integration id. */
  readonly states?: Readonly<Record<string, "proposed" | "suspended" | "retired" | "expired">>;
}

export const dayMs = 86_400_000;

export function observe(untilMs: number): ModeObject {
  return { mode: "observe", untilMs, reason: "a test" };
}

/** `vault` offers the same reads to nobody but orders, and says nothing of a mode. */
export function observedEstate(url: string, exceptions: Exceptions): TestEstate {
  const base = marketplace(url);
  const { environment, billing, passthrough, integrations = {}, states = {} } = exceptions;
  const systems = base.systems.map(
    (system): TestSystem =>
      system.id !== "billing"
        ? system
        : {
            ...system,
            changes: {
              ...(billing === undefined ? {} : { mode: billing }),
              ...(passthrough === undefined ? {} : { passthrough }),
            },
          },
  );
  const vault: TestSystem = {
    id: "vault",
    url,
    operations: [{ name: "item.read", method: "GET", path: "/v1/items/{id}" }],
  };
  return {
    systems: [...systems, vault],
    integrations: [
      ...(base.integrations.map((one) => ({
        ...one,
        ...(integrations[one.id] === undefined ? {} : { mode: integrations[one.id] }),
        ...(states[one.id] === undefined ? {} : { state: states[one.id] }),
      })) as TestEstate["integrations"]),
      { id: "orders-to-vault", from: "orders", to: "vault", operations: [{ name: "item.read" }] },
    ],
    ...(environment === undefined ? {} : { estate: { mode: environment } }),
  };
}

export type CrossingLeaf = Extract<Leaf, { t: "crossing" }>;
export type IntentLeaf = Extract<Leaf, { t: "intent" }>;

/** The leaf that holds the decision of a crossing. */
export async function decisionOf(bench: Bench, id: string): Promise<CrossingLeaf | IntentLeaf> {
  const first = (await bench.bed.leaves(id))[0];
  if (first?.t !== "crossing" && first?.t !== "intent") throw new Error(`no decision under ${id}: ${first?.t}`);
  return first;
}
