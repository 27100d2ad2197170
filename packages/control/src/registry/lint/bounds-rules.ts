// Promises to find what has no bound, or one so high that it is none: rates, bodies, times, and grants that are wider than a need. Pure. Pages: docs/lint.
import { onIntegrations, onOperations, onSystems, type Rule } from "./rule.ts";

const ratePerSecondMax = 10_000;
const burstMax = 100_000;
const bodyMaxBytes = 8 * 1024 * 1024;
const timeoutMaxMs = 60_000;
const grantsMax = 20;
/** A provider with fewer operations is often needed whole. */
const wholeProviderMin = 4;
const providersMax = 20;

export const boundsRules: readonly Rule[] = [
  {
    id: "rate-unlimited",
    severity: "warning",
    title: "An integration has no rate limit",
    why: "One caller in a loop, or whoever stole its key, may call as fast as the network carries, and takes the provider down for everybody.",
    fix: "remove `limits` to get the default of 100/s per client, or write one that fits",
    waivable: true,
    check: onIntegrations(({ integration, at }) => {
      const { limits, operations } = integration;
      const unlimited = operations.filter(({ name }) =>
        limits.every((one) => one.operations?.includes(name) === false),
      );
      if (unlimited.length === 0) return false;
      const what = unlimited.length === operations.length ? "it" : unlimited.map(({ name }) => name).join(", ");
      return { at: at("limits"), message: `nothing limits how often ${what} is called` };
    }),
  },
  {
    id: "rate-too-high",
    severity: "warning",
    title: "A rate limit that limits nothing",
    why: "A limit far above any need stops no flood, no scraping and no loop.",
    fix: "write some three times the peak you measured",
    waivable: true,
    check: onIntegrations(({ integration, at }) =>
      integration.limits.flatMap(({ rate, periodMs, burst }, index) => {
        const perSecond = (rate / periodMs) * 1000;
        if (perSecond <= ratePerSecondMax && burst <= burstMax) return [];
        const what = perSecond > ratePerSecondMax ? `${Math.round(perSecond)} a second` : `a burst of ${burst}`;
        return [{ at: at("limits", integration.ratesAt?.[index] ?? index), message: `${what} stops nothing` }];
      }),
    ),
  },
  {
    id: "body-too-large",
    severity: "warning",
    title: "A body may be larger than 8 MiB",
    why: "A body that is parsed or held costs memory for each call; a few callers with the largest one exhaust a gateway.",
    fix: "lower `body.size`, or hand large files over by reference",
    waivable: true,
    check: onOperations(
      ({ operation, at }) =>
        operation.bodyBytesMax > bodyMaxBytes && {
          at: at("body", "size"),
          message: `bodies up to ${Math.round(operation.bodyBytesMax / 1024 / 1024)} MiB are taken`,
          ...(operation.body?.content === "opaque" ? { severity: "info" as const } : {}),
        },
    ),
  },
  {
    id: "timeout-too-long",
    severity: "warning",
    title: "A provider may take more than a minute",
    why: "Every waiting call holds a connection on both sides; a provider that hangs then stops its callers too.",
    fix: "lower `timeout`, and let long work answer 202 with a place to ask",
    waivable: true,
    check: onOperations(
      ({ operation, at }) =>
        operation.timeoutMs > timeoutMaxMs && {
          at: at("timeout"),
          message: `a call may wait ${operation.timeoutMs / 1000} s`,
        },
    ),
  },
  {
    id: "grants-everything",
    severity: "warning",
    title: "An integration grants every operation of its provider",
    why: "Least privilege means the operations this purpose needs; all of them is what a stolen key can use.",
    fix: "name only the operations that the purpose needs",
    waivable: true,
    check: onIntegrations(({ integration, provider, granted, at }) => {
      const all = provider?.operations ?? [];
      const writes = granted.some(({ method }) => !["GET", "HEAD", "OPTIONS"].includes(method));
      return (
        all.length >= wholeProviderMin &&
        granted.length === all.length &&
        writes && {
          at: at("operations"),
          message: `all ${all.length} operations of \`${integration.to}\` are granted, writing ones too`,
        }
      );
    }),
  },
  {
    id: "grants-too-many",
    severity: "warning",
    title: "An integration grants more than 20 operations",
    why: "A list this long is not reviewed, only extended.",
    fix: "divide it by purpose into several integrations with owners and limits of their own",
    waivable: true,
    check: onIntegrations(
      ({ integration, at }) =>
        integration.operations.length > grantsMax && {
          at: at("operations"),
          message: `${integration.operations.length} operations are granted at once`,
        },
    ),
  },
  {
    id: "caller-reaches-too-much",
    severity: "info",
    title: "One system may call more than 20 others",
    why: "Whoever takes it over reaches all of them; such a system deserves to be divided, or to be guarded like the whole.",
    fix: "give its parts identities of their own, each with the integrations it needs",
    waivable: true,
    check: onSystems(({ system, environment, at }) => {
      const providers = new Set(environment.integrations.filter(({ from }) => from === system.id).map(({ to }) => to));
      return (
        providers.size > providersMax && {
          at: at("system"),
          message: `\`${system.id}\` may call ${providers.size} systems`,
        }
      );
    }),
  },
  {
    id: "edge-reaches-data",
    severity: "warning",
    title: "A system at the edge is granted restricted data of the data zone",
    why: "What faces the internet is taken over first; a tier between the two limits what it can ask for.",
    fix: "let a system of the internal zone answer for it, or lower what the operation returns",
    waivable: true,
    check: onIntegrations(({ consumer, provider, granted, at }) => {
      const restricted = granted.find(({ classification }) => classification === "restricted");
      return (
        consumer?.zone === "edge" &&
        provider?.zone === "data" &&
        restricted !== undefined && {
          at: at("operations"),
          message: `\`${consumer.id}\` stands at the edge and is granted \`${restricted.name}\`, which is restricted`,
        }
      );
    }),
  },
];
