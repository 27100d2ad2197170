// Promises what an operation and its grant want of a user's log-in, in words, and the refusal of a question that does not bring it. Pure.
// Trusts protocol/token/acr.ts for the order of levels. Specified in docs/identity/step-up.md and docs/cli/why.md.

import type { DecisionInputs } from "@sallyport/kernel/policy/port.ts";
import type { SignalName, Signals } from "@sallyport/kernel/policy/signals.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { type Acr, acrLevelOf, isAcrEnough, type StepUp, stricterStepUp } from "@sallyport/protocol/token/acr.ts";
import type { StageName } from "@sallyport/protocol/verdict.ts";
import type { SystemConfig } from "../registry/config/estate.ts";
import type { OperationConfig } from "../registry/config/operation-config.ts";
import type { Fix, Question } from "./explanation.ts";

const acrOf = (level: NonNullable<Question["user"]>["acr"]): Acr => `urn:sallyport:acr:${level}`;
const wordOf = (acr: string): string => acr.replace("urn:sallyport:acr:", "");

/** What holds for this grant of this operation; undefined: nothing is asked. */
export function stepUpWanted(operation: OperationConfig, bound: IntegrationObject): StepUp | undefined {
  const granted = bound.operations.find(({ name }) => name === operation.name);
  return stricterStepUp(operation.stepUp, granted?.stepUp);
}

/** `a log-in worth mfa or more, at most 600 s old` */
export function stepUpWords({ acr, maxAgeSeconds }: StepUp): string {
  const worth = acr === undefined ? "a log-in" : `a log-in worth ${wordOf(acr)} or more`;
  return maxAgeSeconds === undefined ? worth : `${worth}, at most ${maxAgeSeconds} s old`;
}

/** The refusal as the gateway would make it; null: the log-in of the question is enough, or nothing is asked. */
export function refuseStepUp(
  question: Question,
  on: { readonly provider: SystemConfig; readonly operation: OperationConfig; readonly bound: IntegrationObject },
): { readonly code: ProblemCode; readonly stage: StageName; readonly says: string; readonly fix: Fix } | null {
  const wanted = stepUpWanted(on.operation, on.bound);
  if (wanted === undefined) return null;
  const { user } = question;
  const { acr, maxAgeSeconds } = wanted;
  const isStrong = user !== undefined && (acr === undefined || isAcrEnough(acrOf(user.acr), acr));
  const isFresh = user !== undefined && (maxAgeSeconds === undefined || user.authAgeSeconds <= maxAgeSeconds);
  if (isStrong && isFresh) return null;
  const sent =
    user === undefined
      ? "the question is of a caller that acts for nobody: machines are refused"
      : `the question's is worth ${user.acr} and ${user.authAgeSeconds} s old`;
  const parameters = [
    ...(acr === undefined ? [] : [`acr_values=${acr}`]),
    ...(maxAgeSeconds === undefined ? [] : [`max_age=${maxAgeSeconds}`]),
  ].join(" and ");
  const asWhom =
    user === undefined ? `; for a user, ask with --acr ${acr === undefined ? "password" : wordOf(acr)}` : "";
  return {
    code: "insufficient-user-authentication",
    stage: "authorize",
    says: `${question.operation} wants a user with ${stepUpWords(wanted)}; ${sent}`,
    fix: {
      says: `${question.from} sends its user to sign in with ${parameters} and calls with the new token${asWhom}; what is wanted stands under acr and maxAge of ${on.operation.name}`,
      file: on.provider.declaredAt.file,
      line: on.provider.declaredAt.line,
      yaml: null,
    },
  };
}

/** The user of a question as policies see one. */
export function userContext(
  { user }: Question,
  nowMs: number,
): Pick<DecisionInputs["context"], "subject" | "acr" | "authTime"> {
  if (user === undefined) return {};
  return {
    subject: "usr_of_the_question",
    acr: acrOf(user.acr),
    authTime: Math.floor(nowMs / 1_000) - user.authAgeSeconds,
  };
}

/** The signals that policies read, of a question: what it says of the user, the place and the risk; where it says nothing, a public address that nobody knows, and no risk. */
export function assumedSignals(
  names: readonly SignalName[],
  { user, country, risk = 0, riskFactors = [] }: Question,
): Signals {
  const all: Signals = {
    acrLevel: user === undefined ? 0 : acrLevelOf(acrOf(user.acr)),
    addressClass: "public-v4",
    ...(country === undefined ? {} : { country }),
    ...(user === undefined ? {} : { authAge: user.authAgeSeconds, risk, riskFactors }),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => names.some((one) => one === name)));
}
