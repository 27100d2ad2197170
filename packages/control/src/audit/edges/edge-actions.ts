// Promises the figures of edges to an operator, how far behind the log they are said with them. Trusts api.ts, which has put the read on record.
// Specified in docs/audit-edges.md and docs/admin-api.md.
import { z } from "zod";
import { AdminFault } from "../../admin/actions.ts";
import { type AdminRoute, word } from "../../admin/route.ts";
import type { ControlParts } from "../../control-parts.ts";
import { edgeSteps, stepMs } from "./edge-figures.ts";
import type { EdgesQuestion } from "./edges-fold.ts";
import type { EdgeReport } from "./report-edges.ts";

/** Points of one series. */
const pointsMax = 1_500;

const edgesRequest = z.strictObject({
  from: z.int().min(0).max(8.64e15),
  to: z.int().min(0).max(8.64e15),
  step: z.enum(edgeSteps).default("minute"),
  environment: word.optional(),
  integration: word.optional(),
});
export type EdgesRequest = z.output<typeof edgesRequest>;

export interface EdgesAnswer extends EdgeReport {
  readonly from: number;
  readonly to: number;
  readonly step: EdgesRequest["step"];
  /** Records that are in the log and not counted yet. */
  readonly behind: number;
}

export interface EdgeActions {
  edges(request: EdgesRequest): Promise<EdgesAnswer>;
}

export function edgeActions({ follower }: Pick<ControlParts, "follower">): EdgeActions {
  return {
    edges: async ({ from, to, step, environment = null, integration = null }) => {
      if ((to - from) / stepMs[step] > pointsMax)
        throw new AdminFault(
          "bad-request",
          `from, to: more than ${pointsMax} steps of a ${step}`,
          "take a longer step or a shorter time",
        );
      // Whole steps: figures of a part of one are not known.
      const begin = Math.floor(from / stepMs[step]) * stepMs[step];
      const question: EdgesQuestion = { step, from: begin, to, environment, integration };
      // The fold answers in this form (edges-fold.ts).
      const report = (await follower.ask("edges", question)) as EdgeReport | null;
      if (report === null)
        throw new AdminFault(
          "bad-request",
          "from, to: more figures than one answer has",
          "take a longer step or a shorter time",
        );
      const { folds } = await follower.standing();
      return { ...report, from: begin, to, step, behind: folds.find(({ id }) => id === "edges")?.behind ?? 0 };
    },
  };
}

export const edgeRoutes: readonly AdminRoute[] = [
  {
    method: "POST",
    path: "/v1/audit/edges",
    action: "edge.read",
    audit: "appended",
    object: () => "edge",
    asked: async (call) => {
      const { from, to, step } = await call.body(edgesRequest);
      return { from, to, step };
    },
    handle: async (call) => call.actions.edges(await call.body(edgesRequest)),
  },
];
