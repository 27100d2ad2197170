// Promises for each case about a token what the token endpoint would say: control's own decisions and policies. Trusts control. Pure but for the evaluator.
// Specified in docs/policy-tests.md "Tokens".
import { decideTokenCase } from "@sallyport/control/identity/policy/decide-token-case.ts";
import { createIssuancePolicy } from "@sallyport/control/identity/policy/issuance-policy.ts";
import { isTokenAction, type PolicyCase } from "@sallyport/control/policy-tests/read-tests.ts";
import type { EnvironmentConfig } from "@sallyport/control/registry/config/estate.ts";
import { operationsOf } from "@sallyport/control/snapshot/compile-token-policies.ts";
import type { CaseVerdict } from "./judge-cases.ts";
import type { Tools } from "./run-cases.ts";

/** Null: the case is about no token. */
export function decideToken(
  environment: EnvironmentConfig,
  all: readonly EnvironmentConfig[],
  { compiler, engine, now }: Tools,
): (one: PolicyCase) => CaseVerdict | null {
  const policy = createIssuancePolicy({ environment, isOperation: operationsOf(all), compiler, engine: () => engine });
  return ({ token, operation, ...one }) => {
    if (token === undefined || !isTokenAction(operation)) return null;
    const { authAge } = one;
    const logIn = authAge === undefined ? {} : { authTime: Math.floor((now - authAge) / 1_000) };
    return decideTokenCase({ ...one, ...logIn, ...token, action: operation }, { environment, policy, now });
  };
}
