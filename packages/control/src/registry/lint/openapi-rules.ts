// Promises to find what an OpenAPI description says and the estate does not: operations nobody serves, and rules no gateway checks. Pure. Pages: docs/lint.
// Trusts registry/openapi for the notes; what is taken over: docs/openapi.md.
import type { DescriptionNotes } from "../openapi/describe-system.ts";
import type { Note } from "../openapi/taken.ts";
import type { Hit, Rule } from "./rule.ts";

/** Of one description; the rest is counted. */
const saidMax = 20;

export const openApiRules: readonly Rule[] = [
  {
    id: "openapi-uncovered",
    severity: "info",
    title: "The description has an operation that the system does not offer",
    why: "Nobody can call it, which may be meant; or it is new there, and its consumers wait for it.",
    fix: "add an operation with this `operationId`, or take it out of the description",
    waivable: true,
    check: onDescriptions(({ uncovered }) => ({
      notes: uncovered,
      says: ({ message }) => `no operation of the system is ${message}`,
    })),
  },
  {
    id: "openapi-unchecked",
    severity: "info",
    title: "Something the description demands is checked by no gateway",
    why: "Whoever reads the description believes that such requests are refused at the gateway; they reach the provider.",
    fix: "leave that check to the provider, or say it in a form that is checked (docs/openapi.md)",
    waivable: true,
    check: onDescriptions(({ unchecked }) => ({ notes: unchecked, says: ({ message }) => message })),
  },
];

interface Said {
  readonly notes: readonly Note[];
  readonly says: (note: Note) => string;
}

function onDescriptions(choose: (notes: DescriptionNotes) => Said): NonNullable<Rule["check"]> {
  return ({ sources }) =>
    [...sources.environments.values()].flatMap(({ descriptions }) =>
      [...descriptions.values()].flatMap((described): readonly Hit[] => {
        const { notes, says } = choose(described);
        const hits = notes.slice(0, saidMax).map((note) => ({ at: note.at, message: says(note) }));
        const rest = notes.length - hits.length;
        return rest === 0 ? hits : [...hits, { at: described.at, message: `there are ${rest} more of them` }];
      }),
    );
}
