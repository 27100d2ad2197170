// Promises bent requests and bent answers without end, each read by our own HTTP/1.1 and by Node's: whatever we take, Node takes for the same. Trusts
// the comparisons of the kernel's tests, which run some thousands of each. Specified in docs/control.md "Soaks", docs/decisions/0020-own-http-front.md.
import { type AnswerComparison, bentAnswers, sameAnswer } from "@sallyport/kernel/http1/testing/bent-answers.ts";
import { bentRequests, sameRequests } from "@sallyport/kernel/http1/testing/bent-requests.ts";
import fc from "fast-check";
import type { SoakOptions } from "./soak-installation.ts";

const streamsPerBlock = 2_000;
const failuresMax = 10;

interface Http1Figures {
  readonly soak: "http1";
  readonly seed: number;
  readonly minutes: number;
  /** Streams of up to three requests. */
  readonly requests: { readonly streams: number; readonly accepted: number };
  readonly answers: Readonly<Record<AnswerComparison, number>>;
  /** The smallest text found that is read in two ways, with both readings. */
  readonly differences: readonly string[];
  readonly ok: boolean;
}

/** `rounds`: streams of requests, and as many answers. */
export async function runHttp1({ seed, minutes, rounds }: SoakOptions): Promise<Http1Figures> {
  const began = performance.now();
  const endMs = began + minutes * 60_000;
  const answers: Record<AnswerComparison, number> = { refused: 0, whole: 0, followed: 0 };
  const differences: string[] = [];
  let streams = 0;
  let accepted = 0;
  const goesOn = () => (rounds === null ? performance.now() < endMs : streams < rounds);
  for (let block = 0; goesOn() && differences.length < failuresMax; block++) {
    const numRuns = Math.min(streamsPerBlock, (rounds ?? Number.POSITIVE_INFINITY) - streams);
    const on = { seed: seed + block, numRuns };
    const requests = fc.asyncProperty(bentRequests, async (text) => {
      accepted += await sameRequests(text);
    });
    const responses = fc.asyncProperty(bentAnswers, async (answer) => {
      answers[await sameAnswer(answer)]++;
    });
    for (const property of [requests, responses]) {
      // Shrunk to the smallest text that shows it.
      const { failed, counterexample, errorInstance } = await fc.check<[unknown]>(property, on);
      if (failed) differences.push(`seed ${on.seed}: ${JSON.stringify(counterexample)}: ${String(errorInstance)}`);
    }
    streams += numRuns;
  }
  return {
    soak: "http1",
    seed,
    minutes: Math.round((performance.now() - began) / 6_000) / 10,
    requests: { streams, accepted },
    answers,
    differences,
    ok: differences.length === 0 && accepted > 0 && answers.whole > 0,
  };
}
