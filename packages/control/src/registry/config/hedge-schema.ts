// Promises the key by which a system or an operation asks for second attempts beside slow ones, and what of it cannot be done. Trusts the types.
// What it does: docs/resilience.md "Hedging".
import type { HedgeRule } from "@sallyport/protocol/snapshot/hedge-rule.ts";
import { z } from "zod";
import { errorAt, type Finding } from "./finding.ts";
import type { OperationConfig } from "./operation-config.ts";
import { duration, percent } from "./words.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

const shares: Readonly<Record<"p90" | "p95" | "p99", number>> = { p90: 0.9, p95: 0.95, p99: 0.99 };

const after = z.union([
  z.enum(["p90", "p95", "p99"]).transform((name) => ({ share: shares[name] })),
  duration({ minMs: 1, maxMs: 60_000, says: "`1ms` to `1m`, or `p90`, `p95` or `p99`" }).transform((ms) => ({ ms })),
]);

const hedge = () =>
  z
    .union([
      z.literal("none"),
      z.strictObject({
        after: after.describe(
          "How long the first attempt has: `1ms` to `1m`, or as long as 90, 95 or 99% of them took (`p90`, `p95`, `p99`).",
        ),
        budget: percent({ min: 1, max: 50 })
          .prefault("10%")
          .describe("Second attempts of ten seconds per request that may have one, beside the budget of retries."),
      }),
    ])
    .optional();

export const systemHedge = {
  hedge: hedge().describe(
    "A second attempt of reads is sent beside a first that is slow, and the first answer counts; without it attempts are made one after another.",
  ),
};

export const operationHedge = {
  hedge: hedge().describe(
    "The same for this operation, in place of what the system says: also of an effect under a key that its provider honours; or `none`.",
  ),
};

type HedgeSource = z.output<typeof systemHedge.hedge>;

interface Hedging {
  readonly hedge?: HedgeSource;
  readonly retries: "none" | { readonly attempts: number };
  readonly operations: Readonly<Record<string, string | { readonly hedge?: HedgeSource }>>;
}

/** The operations with what holds for each. */
export function readHedges(
  { tree, findings }: { readonly tree: MapTree; readonly findings: Finding[] },
  source: Hedging,
  operations: readonly OperationConfig[],
): readonly OperationConfig[] {
  const isAny = [source, ...Object.values(source.operations)].some(
    (one) => typeof one !== "string" && isRule(one.hedge),
  );
  if (isAny && (source.retries === "none" || source.retries.attempts < 2)) {
    const message = "`hedge` of a system whose requests are tried once: a second attempt is one of `retries`";
    findings.push(errorAt(spotOf(tree, ["system"], "key"), message, "remove `hedge`, or allow two `retries.attempts`"));
  }
  return operations.map((operation) => {
    const written = source.operations[operation.name];
    const own = typeof written === "string" ? undefined : written?.hedge;
    if (isRule(own)) {
      const why = refusal(operation);
      if (why === null) return { ...operation, hedge: own };
      findings.push(errorAt(spotOf(tree, ["operations", operation.name, "hedge"], "key"), why, "remove `hedge`"));
    }
    const isCovered = own === undefined && isRule(source.hedge) && isRead(operation) && refusal(operation) === null;
    return isCovered && isRule(source.hedge) ? { ...operation, hedge: source.hedge } : operation;
  });
}

const isRule = (said: HedgeSource): said is HedgeRule => said !== undefined && said !== "none";

const isRead = ({ method }: OperationConfig): boolean => ["GET", "HEAD", "OPTIONS"].includes(method);

/** Why it may never be sent twice; null: it may. */
function refusal(operation: OperationConfig): string | null {
  if (operation.webSocket !== undefined) return "`hedge` of a WebSocket: what is done on it begins with its handshake";
  if (operation.grpc !== undefined) return "`hedge` of a call of gRPC, which is tried once";
  if (operation.body?.content === "opaque")
    return "`hedge` of an opaque body: it is passed on as it comes, and not held";
  if (isRead(operation) || operation.idempotency?.provider === "honours") return null;
  return `\`hedge\` of an effect (${operation.method}) that would happen twice: its provider does not honour keys`;
}
