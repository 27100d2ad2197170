// Promises what `sallyport check` knows of a loaded estate: policies compiled as for a gateway, then every rule. Pure but for the evaluator.
// Trusts the slice compiler of kernel/policy. Specified in docs/cli/check.md.
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { checkPolicies } from "../../snapshot/compile-policies.ts";
import type { LoadedEstate } from "../config/estate.ts";
import { lint } from "./lint.ts";
import type { LintFinding } from "./lint-finding.ts";

export function lintEstate(loaded: LoadedEstate, compiler: SliceCompiler, now: number): readonly LintFinding[] {
  const findings = checkPolicies(loaded.estate, compiler);
  const { environments } = loaded.estate;
  const parsed = new Map(environments.map(({ name, policies }) => [name, compiler.parse(policies)]));
  return lint({ loaded, policies: { findings, parsed }, now });
}
