// Promises the shape of an answer to "would this be allowed": the stages in the order a crossing meets them, the first no, and how to mend it.
// Trusts nothing: it is data. Specified in docs/cli/why.md.
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import type { StageName } from "@sallyport/protocol/verdict.ts";

export interface Question {
  readonly environment: string;
  /** The calling system. */
  readonly from: string;
  /** `billing:invoice.refund`, or `token:issue`, `token:exchange` */
  readonly operation: string;
  /** Of a token: the system it is for. */
  readonly for?: string | undefined;
  /** Of `token:issue`; absent: `client_credentials`. */
  readonly grantType?: Exclude<GrantWord, "token-exchange"> | undefined;
  /** Of a token: where the request comes from; absent: unknown. */
  readonly address?: string | undefined;
  /** Attributes of the resource by name, as a request would carry them. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Absent: the strongest the caller's identity can give. */
  readonly proof?: ProofKind | undefined;
  /** Scopes of the token; absent: one without, which leaves it to the grant. */
  readonly scopes?: readonly string[] | undefined;
  /** Absent: the caller acts for nobody. */
  readonly user?:
    | { readonly acr: "password" | "mfa" | "phishing-resistant"; readonly authAgeSeconds: number }
    | undefined;
  /** What would be known of the place and made of the user's log-in; absent: a country nobody knows, and no risk. */
  readonly country?: string | undefined;
  readonly risk?: number | undefined;
  readonly riskFactors?: readonly string[] | undefined;
}

export interface Step {
  readonly stage: StageName;
  /** Null: only a request can tell. */
  readonly passes: boolean | null;
  readonly says: string;
}

/** Something to write, and where. */
export interface Fix {
  readonly says: string;
  readonly file: string | null;
  readonly line: number | null;
  readonly yaml: string | null;
}

export interface Nearest {
  readonly integration: string;
  readonly from: string;
  readonly operations: readonly string[];
  /** `file:line` */
  readonly declaredAt: string;
  readonly why: "same caller, other operations" | "same operation, other caller";
}

export interface Explanation {
  readonly question: Question;
  readonly allowed: boolean;
  /** Denied by the rules, but nothing is enforced there yet. */
  readonly observed: string | null;
  /** Of a crossing a problem code; of a token the word of its record. */
  readonly code: ProblemCode | (string & {}) | null;
  readonly stage: StageName | null;
  readonly integration: string | null;
  readonly steps: readonly Step[];
  readonly nearest: readonly Nearest[];
  readonly missing: readonly string[];
  readonly policies: readonly { readonly id: string; readonly place: string | null }[];
  readonly fix: Fix | null;
}

/** The question names something that is not there; `fix` has the nearest name. */
export class QuestionFault extends Error {
  readonly fix: string;
  constructor(message: string, fix: string) {
    super(message);
    this.fix = fix;
  }
}
