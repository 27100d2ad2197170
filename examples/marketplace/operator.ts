// Promises the operator's side of the story: the record of a crossing, and the switch that stops an integration. The same client as the
// `sallyport` command, without a process per question. Trusts the operator key file. Routes: docs/admin-api.md.
import { openAdminClient } from "sallyport/admin-connection.ts";
import type { CrossingRecord } from "./story.ts";

/** The log is asked this often for a record that a busy node has not yet at hand. */
const attemptsMax = 3;

export interface OpenedCrossing {
  readonly leaves: readonly Readonly<Record<string, unknown>>[];
  readonly decision: Readonly<Record<string, unknown>> | null;
}

/** What the story reads of `sallyport status --json`. */
export interface ControlStatus {
  readonly gateways: readonly { readonly node: string; readonly connected: boolean }[];
}

export interface Operator {
  crossing(id: string): Promise<OpenedCrossing>;
  record(id: string): Promise<CrossingRecord>;
  setIntegration(id: string, verb: "suspend" | "activate", reason: string): Promise<void>;
  /** A user of production; `link` is theirs alone, to choose how they sign in. */
  addUser(name: string): Promise<{ readonly id: string; readonly link: string }>;
  status(): Promise<ControlStatus>;
}

export function openOperator(keyFile: string): Operator {
  const client = openAdminClient(keyFile);
  const crossing = async (id: string): Promise<OpenedCrossing> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const path = `/v1/crossings/${encodeURIComponent(id)}`;
        const report = await client.call<{ leaves: readonly string[]; decision: OpenedCrossing["decision"] }>(
          "GET",
          path,
        );
        // A leaf is a JSON object by its format (docs/formats/leaf.md).
        const leaves = report.leaves.map((leaf) => JSON.parse(leaf) as Readonly<Record<string, unknown>>);
        return { leaves, decision: report.decision };
      } catch (error) {
        if (attempt === attemptsMax) throw error;
      }
    }
  };
  return {
    crossing,
    record: async (id) => recordOf((await crossing(id)).leaves),
    setIntegration: async (id, verb, reason) => {
      await client.call("POST", `/v1/integrations/${id}/${verb}`, { environment: "production", reason });
    },
    addUser: (name) => client.call("POST", "/v1/users", { name }),
    status: () => client.call("GET", "/v1/status"),
  };
}

/** Verdict, code and stage from the leaf that decided, the outcome from the one that ended. Pure. */
export function recordOf(leaves: OpenedCrossing["leaves"]): CrossingRecord {
  const decided = leaves.find((leaf) => "verdict" in leaf);
  const ended = leaves.find((leaf) => "outcome" in leaf);
  const text = (value: unknown) => (typeof value === "string" ? value : null);
  return {
    verdict: text(decided?.["verdict"]) ?? "none",
    code: text(decided?.["code"]),
    stage: text(decided?.["stage"]),
    outcome: text(ended?.["outcome"]),
  };
}
