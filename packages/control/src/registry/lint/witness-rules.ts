// Promises to find witnesses whose word is worth less than it looks: too few, too close together, or reached in the open. Pure. Pages: docs/lint.
import type { WitnessesConfig } from "../config/estate.ts";
import { estatePlace, type Hit, type LintSubject, type Rule } from "./rule.ts";

const outsideOf = ({ estate }: LintSubject): WitnessesConfig["outside"] => estate.witnesses?.outside ?? [];
const place = ({ sources }: LintSubject, ...path: readonly string[]) => estatePlace(sources, "witnesses", ...path);

/** How many must have cosigned. */
function askedOf({ quorum, outside }: WitnessesConfig): number {
  return quorum === "all" ? outside.length : quorum;
}

/** The host that alone can meet the quorum; null: it takes two. */
export function loneHost(witnesses: WitnessesConfig): string | null {
  const hosts = Map.groupBy(witnesses.outside, ({ url }) => new URL(url).hostname);
  const asked = askedOf(witnesses);
  return [...hosts].find(([, there]) => there.length >= asked)?.[0] ?? null;
}

export const witnessRules: readonly Rule[] = [
  {
    id: "witness-quorum-unmet",
    severity: "error",
    title: "More witnesses must have cosigned than there are",
    why: "No checkpoint ever counts as witnessed, so nobody can tell a log that was taken back from one that was not.",
    fix: "name as many witnesses under `outside` as `quorum` says, or lower it",
    waivable: false,
    check: (lint) => {
      const { witnesses } = lint.estate;
      if (witnesses === undefined || askedOf(witnesses) <= witnesses.outside.length) return [];
      const message = `${askedOf(witnesses)} must have cosigned, and ${witnesses.outside.length} can`;
      return [{ at: place(lint, "quorum"), message }];
    },
  },
  {
    id: "witness-single-point",
    severity: "warning",
    title: "One host alone decides what counts as witnessed",
    why: "Whoever owns that host, or can make its operator help, can take the log back with the word of one; and where it is the only one, nothing is witnessed while it is down.",
    fix: "name witnesses of different operators on different hosts, and a `quorum` that takes two of them",
    waivable: true,
    check: (lint) => {
      const { witnesses } = lint.estate;
      if (witnesses === undefined || witnesses.outside.length === 0) return [];
      const host = loneHost(witnesses);
      return host === null ? [] : [{ at: place(lint), message: `the word of ${host} is enough` }];
    },
  },
  {
    id: "witness-quorum-split",
    severity: "warning",
    title: "Half of the witnesses are enough",
    why: "Two histories of one log can each find a quorum, although every witness is honest: each half has seen only one of them.",
    fix: "ask for more than half of the witnesses: 2 of 3, or 3 of 4 where one of them may be dishonest",
    waivable: true,
    check: (lint) => {
      const { witnesses } = lint.estate;
      if (
        witnesses === undefined ||
        witnesses.outside.length === 0 ||
        2 * askedOf(witnesses) > witnesses.outside.length
      )
        return [];
      const message = `${askedOf(witnesses)} of ${witnesses.outside.length} are no majority`;
      return [{ at: place(lint, "quorum"), message }];
    },
  },
  {
    id: "witness-insecure-url",
    severity: "warning",
    title: "A witness is asked without TLS",
    why: "Nobody between can forge a cosignature, but they can hold it back, and see which logs there are and how fast they grow.",
    fix: "use the witness's https URL",
    waivable: true,
    check: (lint) =>
      outsideOf(lint).flatMap(({ id, url }): Hit[] =>
        url.startsWith("http://")
          ? [{ at: place(lint, "outside", id, "url"), message: `\`${id}\` is reached over plain http` }]
          : [],
      ),
  },
];
