// Promises to find providers that are called with tokens which work for whoever holds them. Pure. Pages: docs/lint.
import { emptiness } from "./ownership-rules.ts";
import { dayMs, dayOf, onSystems, type Rule } from "./rule.ts";

const bearerMaxDays = 90;

export const nextHopRules: readonly Rule[] = [
  {
    id: "next-hop-bearer",
    severity: "warning",
    title: "A provider is called with bearer tokens",
    why: "Whoever finds such a token, in the provider's log or in an answer that repeats it, can call that provider with it until it ends. One that is bound to the gateway's key (DPoP) is worth nothing to others.",
    fix: "have the provider verify DPoP, and remove `bearer`",
    waivable: true,
    check: onSystems(({ system: { upstream }, at }, { now }) => {
      const untilMs = upstream?.nextHop?.bearer?.untilMs;
      return (
        untilMs !== undefined &&
        untilMs > now && { at: at("nextHop", "bearer"), message: `it gets bearer tokens until ${dayOf(untilMs)}` }
      );
    }),
  },
  {
    id: "next-hop-bearer-ended",
    severity: "warning",
    title: "The end of a provider's bearer tokens has passed",
    why: "Since then there is no token for it, and every call is refused (`next-hop-refused`).",
    fix: "remove `bearer`, or write a later day",
    waivable: true,
    check: onSystems(({ system: { upstream }, at }, { now }) => {
      const untilMs = upstream?.nextHop?.bearer?.untilMs;
      return (
        untilMs !== undefined &&
        untilMs <= now && {
          at: at("nextHop", "bearer", "until"),
          message: `nobody reaches it since ${dayOf(untilMs)}`,
        }
      );
    }),
  },
  {
    id: "next-hop-bearer-too-long",
    severity: "warning",
    title: "A provider gets bearer tokens for more than 90 days",
    why: "An exception without a near end is the rule.",
    fix: "write a day within 90 days, and prolong it when you must",
    waivable: true,
    check: onSystems(({ system: { upstream }, at }, { now }) => {
      const untilMs = upstream?.nextHop?.bearer?.untilMs;
      return (
        untilMs !== undefined &&
        untilMs > now + bearerMaxDays * dayMs && {
          at: at("nextHop", "bearer", "until"),
          message: `it gets bearer tokens until ${dayOf(untilMs)}`,
        }
      );
    }),
  },
  {
    id: "next-hop-bearer-reason-says-nothing",
    severity: "warning",
    title: "The reason of a provider's bearer tokens explains nothing",
    why: "The reason tells the next reviewer what has to happen before the exception can end.",
    fix: "say what keeps the provider from DPoP, and what changes that",
    waivable: true,
    check: onSystems(({ system: { id, upstream }, at }) => {
      const reason = upstream?.nextHop?.bearer?.reason;
      const why = reason === undefined ? null : emptiness(reason, [id, "bearer", "token", "provider"]);
      return why !== null && { at: at("nextHop", "bearer", "reason"), message: `\`reason\` says nothing: ${why}` };
    }),
  },
];
