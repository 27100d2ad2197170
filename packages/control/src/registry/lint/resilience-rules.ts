// Promises to find settings that make the failure of a provider worse: retries that become a flood, a breaker that is off, a bound of time that bounds
// nothing. Pure. Pages: docs/lint; what the settings do: docs/resilience.md.
import { onSystems, type Rule } from "./rule.ts";

const budgetMax = 0.5;
const leastMax = 100;

export const resilienceRules: readonly Rule[] = [
  {
    id: "retries-flood",
    severity: "warning",
    title: "Retries that may double what a failing provider gets",
    why: "A provider fails most often because it has too much to do; retries beyond a small share of the requests keep it down.",
    fix: "lower `retries.budget` to some `20%`, and `least` to some 10",
    waivable: true,
    check: onSystems(({ system, at }) => {
      const retries = system.upstream?.resilience?.retries;
      if (retries === undefined || (retries.budget <= budgetMax && retries.least <= leastMax)) return null;
      const said =
        retries.budget > budgetMax
          ? `${Math.round(retries.budget * 100)}% more requests`
          : `${retries.least} requests more in ten seconds`;
      return { at: at("retries"), message: `\`${system.id}\` gets up to ${said} while it fails` };
    }),
  },
  {
    id: "breaker-none",
    severity: "warning",
    title: "A provider that is down is asked on and on",
    why: "Every call waits for its timeout and holds a connection meanwhile; the provider gets no pause to recover in.",
    fix: "remove `breaker: none`, or raise `breaker.failures`",
    waivable: true,
    check: onSystems(({ system, at }) => {
      const resilience = system.upstream?.resilience;
      return (
        resilience !== undefined &&
        resilience.breaker === undefined && {
          at: at("breaker"),
          message: `nothing leaves \`${system.id}\` alone when it fails`,
        }
      );
    }),
  },
  {
    id: "attempt-without-effect",
    severity: "warning",
    title: "A time for attempts that is no shorter than that of any operation",
    why: "It ends nothing: the first attempt has all the time there is, and none is left for a second.",
    fix: "lower `timeouts.attempt` to a half or a third of the `timeout` of its operations, or remove it",
    waivable: true,
    check: onSystems(({ system, at }) => {
      const attemptMs = system.upstream?.resilience?.attemptMs;
      if (attemptMs === undefined || system.operations.length === 0) return null;
      return (
        system.operations.every(({ timeoutMs }) => timeoutMs <= attemptMs) && {
          at: at("timeouts", "attempt"),
          message: "no operation has more time than one attempt",
        }
      );
    }),
  },
];
