// Promises one answer to each question over a set of policies: by closures where they were held against the evaluator and agreed, by the evaluator for
// whatever they do not know, do not read, or fail on. Trusts the evaluator to be Cedar. Specified in docs/policy.md "Compiled policies".
import type { PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import { CompiledSet, type Failing, type Ruling } from "./compiled-set.ts";
import { type Answer, type Asked, type Evaluator, request } from "./evaluator.ts";
import { type FrameForm, frameForm, frameOf } from "./frame.ts";
import type { EngineStanding } from "./port.ts";
import { type SampleForm, sampleRequests } from "./sample-requests.ts";

/** What Cedar says. */
export interface Reply {
  readonly decision: "allow" | "deny";
  readonly reason: string[];
  readonly errors: readonly { readonly policyId: string; readonly message: string }[];
}

export interface DeciderOptions {
  readonly form: SampleForm;
  /** Policy id -> Cedar text. */
  readonly policies: Readonly<Record<string, string>>;
  /** Never used for another set of policies. */
  readonly number: number;
  readonly evaluator: () => Evaluator;
  readonly closures: Closures;
}

/** What the deciders of one engine share. */
export interface Closures {
  /** Compile nothing: the evaluator alone decides. */
  readonly off: boolean;
  readonly counts: { -readonly [Name in keyof EngineStanding]: EngineStanding[Name] };
  readonly warn: (message: string) => void;
  /** Runs a job to its end, a step at a time. */
  readonly later: Later;
}

export type Later = (job: Iterator<void>) => void;

/** One step of one job each time the event loop comes round, so that nobody waits for more than that. */
export function stepwise(): Later {
  const jobs: Iterator<void>[] = [];
  const step = () => {
    const [job] = jobs;
    if (job === undefined) return;
    if (job.next().done === true) jobs.shift();
    if (jobs.length > 0) setImmediate(step).unref();
  };
  return (job) => {
    jobs.push(job);
    if (jobs.length === 1) setImmediate(step).unref();
  };
}

/** Before the first answer. */
export const atOnce: Later = (job) => {
  while (job.next().done !== true);
};

/** Requests that closures and the evaluator have to answer alike before closures are believed. */
const checksAtLoad = 64;
const seed = 0x5a11;

export class Decider {
  readonly #options: DeciderOptions;
  #isAsked = false;
  /** Null: the evaluator decides. */
  #compiled: { readonly set: CompiledSet; readonly form: FrameForm } | null = null;

  constructor(options: DeciderOptions) {
    this.#options = options;
  }

  /** A text says why nobody can tell. */
  ask(asked: Asked): Reply | string {
    if (!this.#isAsked) {
      this.#isAsked = true;
      const { off, later } = this.#options.closures;
      if (!off) later(this.#prepare());
    }
    const ruling = this.#compiled === null ? null : this.#rule(asked, this.#compiled);
    if (ruling !== null && "decision" in ruling) return { ...ruling, errors: [] };
    // Of a failure the evaluator has the words.
    return replyOf(this.#askEvaluator(asked));
  }

  #askEvaluator(asked: Asked): Answer | string {
    const { form, policies, number, evaluator } = this.#options;
    return evaluator().ask({ action: form.slice.action, policies }, number, request(asked));
  }

  #rule(asked: Asked, { set, form }: { readonly set: CompiledSet; readonly form: FrameForm }): Ruling | Failing | null {
    const frame = frameOf(asked, form);
    if (frame === null) return null;
    try {
      return set.rule(frame);
    } catch (error) {
      this.#giveUp(`failed on a request: ${String(error)}`);
      return null;
    }
  }

  #giveUp(why: string): void {
    const { closures, form } = this.#options;
    this.#compiled = null;
    closures.counts.disagreed += 1;
    closures.warn(`compiled policies of ${form.slice.action} are not used, the evaluator decides: they ${why}`);
  }

  /** In steps: what is asked meanwhile the evaluator answers. */
  *#prepare(): Generator<void, void> {
    const { form, policies, evaluator, closures } = this.#options;
    const parsed: Record<string, PolicyJson> = {};
    for (const [id, text] of Object.entries(policies)) {
      const json = evaluator().parse(text);
      if (json === null) return this.#leave();
      parsed[id] = json;
      yield;
    }
    const set = CompiledSet.compile(parsed);
    if (typeof set === "string") return this.#leave();
    const compiled = { set, form: frameForm(form) };
    for (const asked of sampleRequests(Object.values(parsed), form, { count: checksAtLoad, seed })) {
      yield;
      const agreed = this.#agrees(asked, compiled);
      // An evaluator that cannot say is asked all the same: nothing was compared.
      if (agreed === null) return this.#leave();
      if (!agreed) return this.#giveUp("disagreed with it on a request that was made to compare them");
    }
    closures.counts.compiled += 1;
    this.#compiled = compiled;
  }

  #leave(): void {
    this.#options.closures.counts.evaluated += 1;
  }

  #agrees(asked: Asked, compiled: { readonly set: CompiledSet; readonly form: FrameForm }): boolean | null {
    const frame = frameOf(asked, compiled.form);
    if (frame === null) return true;
    const reply = replyOf(this.#askEvaluator(asked));
    if (typeof reply === "string") return null;
    try {
      return isSameRuling(compiled.set.rule(frame), reply);
    } catch {
      return false;
    }
  }
}

/** The same decision by the same policies, or the same failures. */
export function isSameRuling(ruling: Ruling | Failing, { decision, reason, errors }: Reply): boolean {
  const same = (one: readonly string[], other: readonly string[]) =>
    one.length === other.length && one.toSorted().join(" ") === other.toSorted().join(" ");
  if ("failed" in ruling)
    return same(
      ruling.failed,
      errors.map(({ policyId }) => policyId),
    );
  return errors.length === 0 && ruling.decision === decision && same(ruling.reason, reason);
}

function replyOf(answer: Answer | string): Reply | string {
  if (typeof answer === "string") return answer;
  if (answer.type === "failure") return answer.errors.map((error) => error.message).join("; ");
  const { decision, diagnostics } = answer.response;
  const errors = diagnostics.errors.map(({ policyId, error }) => ({ policyId, message: error.message }));
  return { decision, reason: diagnostics.reason, errors };
}
