// Promises the same text as printLeafText for crossings that were allowed, at the cost of what differs between them: what one caller, operation and
// policy set have in common is printed and judged once. Trusts its caller to use a mold only for what it was made of. Specified in docs/formats/leaf.md.
import type { Leaf, OutcomeFields, Pseudonym } from "./leaf.ts";
import { LeafRefused, leafBytesMax, printLeafText, printMember } from "./leaf-format.ts";

/** The parts of a leaf that its mold gives it. */
export interface LeafMold {
  readonly t: "crossing" | "intent";
  /** Up to the quote behind the type: its version too. */
  readonly head: string;
  /** From `tenant` to the member before `inputs`. */
  readonly middle: string;
  /** From the member behind `inputs` to the last of the decision. */
  readonly behind: string;
}

type Molded = Extract<Leaf, { readonly t: LeafMold["t"] }>;

const printers = (t: LeafMold["t"]) => ({ id: printMember(t, "id"), at: printMember(t, "at") });
const byType = { crossing: printers("crossing"), intent: printers("intent") };
/** Of both types: the form is one. */
const inputsPrinter = printMember("crossing", "inputs");
const ending = {
  outcome: printMember("crossing", "outcome"),
  status: printMember("crossing", "status"),
  upstreamStatus: printMember("crossing", "upstreamStatus"),
  bytesIn: printMember("crossing", "bytesIn"),
  bytesOut: printMember("crossing", "bytesOut"),
  totalUs: printMember("crossing", "totalUs"),
  upstreamUs: printMember("crossing", "upstreamUs"),
};
const idMark = ',"id":';
const middleMark = ',"tenant":';
const inputsMark = ',"inputs":null';
const outcomeMark = ',"outcome":';

/** The mold of a leaf that says `allow` and whose inputs are null; everything in it is judged here. Throws LeafRefused. */
export function moldLeaf(leaf: Molded): LeafMold {
  // What denies is also held against its other members (leaf-format.ts), and denials repeat less.
  if (leaf.verdict !== "allow" || leaf.inputs !== null) throw new LeafRefused("a mold is of an allow without inputs");
  const text = printLeafText(leaf);
  // No value holds a quote, so the marks stand where they seem to.
  const inputsAt = text.indexOf(inputsMark);
  const end = leaf.t === "crossing" ? text.indexOf(outcomeMark) : text.length - 1;
  return {
    t: leaf.t,
    head: text.slice(0, text.indexOf(idMark)),
    middle: text.slice(text.indexOf(middleMark), inputsAt),
    behind: text.slice(inputsAt + inputsMark.length, end),
  };
}

const tokenMark = ',"token":';
const tokenPrinter = printMember("crossing", "token");

/** The same mold for a crossing with another token. Throws LeafRefused where the mold is of no token, or `token` no pseudonym. */
export function withToken(mold: LeafMold, token: Pseudonym): LeafMold {
  const { t, head, middle, behind } = mold;
  const at = middle.indexOf(tokenMark);
  if (at < 0) throw new LeafRefused("a mold without a token is not one of a token");
  // The value is a text between quotes, and holds none.
  const end = middle.indexOf('"', at + tokenMark.length + 1) + 1;
  return { t, head, middle: middle.slice(0, at) + tokenPrinter(token) + middle.slice(end), behind };
}

/** What differs from leaf to leaf. */
export interface Cast {
  readonly mold: LeafMold;
  readonly id: string;
  readonly at: number;
  /** Null for an intent. */
  readonly outcome: OutcomeFields | null;
}

/** The inputs printed last: the leaves of a batch name the same. */
let lastInputs = { value: "", text: "" };

function printInputs(inputs: string | null): string {
  if (inputs === null || inputs !== lastInputs.value) {
    const text = inputsPrinter(inputs);
    if (inputs === null) return text;
    lastInputs = { value: inputs, text };
  }
  return lastInputs.text;
}

/** The leaf's text. Throws LeafRefused as printLeafText does. */
export function printCast({ mold, id, at, outcome }: Cast, inputs: string | null): string {
  const type = byType[mold.t];
  if ((outcome === null) !== (mold.t === "intent")) throw new LeafRefused("a crossing has its outcome, an intent none");
  const text = `${mold.head}${type.id(id)}${type.at(at)}${mold.middle}${printInputs(inputs)}${mold.behind}${printOutcome(outcome)}}`;
  if (text.length > leafBytesMax) throw new LeafRefused(`a leaf has at most ${leafBytesMax} bytes`);
  return text;
}

type Outcome = Extract<Leaf, { readonly t: "outcome" }>;
const outcomeId = printMember("outcome", "id");
const outcomeAt = printMember("outcome", "at");

/** What prints the outcomes of one place, which is judged here, once. It gives the text of printLeafText, or throws LeafRefused as that does. */
export function outcomePrinter(
  place: Pick<Outcome, "tenant" | "environment" | "region" | "node">,
): (id: string, at: number, outcome: OutcomeFields) => string {
  const { tenant, environment, region, node } = place;
  const text = printLeafText({ t: "outcome", id: noId, at: 0, tenant, environment, region, node, ...noOutcome });
  const head = text.slice(0, text.indexOf(idMark));
  const middle = text.slice(text.indexOf(middleMark), text.indexOf(outcomeMark));
  return (id, at, outcome) => `${head}${outcomeId(id)}${outcomeAt(at)}${middle}${printOutcome(outcome)}}`;
}

const noId = "0".repeat(26);
const noOutcome = {
  outcome: "unknown",
  status: 0,
  upstreamStatus: 0,
  bytesIn: 0,
  bytesOut: 0,
  totalUs: 0,
  upstreamUs: 0,
} as const;

function printOutcome(outcome: OutcomeFields | null): string {
  if (outcome === null) return "";
  return (
    ending.outcome(outcome.outcome) +
    ending.status(outcome.status) +
    ending.upstreamStatus(outcome.upstreamStatus) +
    ending.bytesIn(outcome.bytesIn) +
    ending.bytesOut(outcome.bytesOut) +
    ending.totalUs(outcome.totalUs) +
    ending.upstreamUs(outcome.upstreamUs)
  );
}
