// Promises to find networks of proxies so wide that others than proxies stand in them. Pure. Pages: docs/lint.
// Trusts the loader for networks that are well-formed and hold nobody by chance (kernel/trusted-proxies.ts).
import { estatePlace, type Hit, type LintSubject, type Rule } from "./rule.ts";

/** Shorter prefixes hold more than the subnet of some proxies. */
const prefixMin = { v4: 16, v6: 48 } as const;

export const proxyRules: readonly Rule[] = [
  {
    id: "proxies-too-wide",
    severity: "warning",
    title: "A network of trusted proxies is wide",
    why: "Every host in it can name any source address, and so step around bounds per network, choose what policies see, and put other addresses on record.",
    fix: "name the addresses of the proxies, or the subnet that only they stand in",
    waivable: true,
    check: (lint) => [...behindOf(lint, "proxyProtocol"), ...behindOf(lint, "authorizer")],
  },
];

function behindOf({ estate, sources }: LintSubject, key: "proxyProtocol" | "authorizer"): readonly Hit[] {
  const listeners = estate.environments.flatMap((environment) => environment.listeners);
  return listeners.flatMap((listener) =>
    (listener[key]?.trustedProxies ?? []).flatMap((network, i): Hit[] => {
      const at = estatePlace(sources, "listeners", listener.name, key, "trustedProxies", i);
      return isWide(network) ? [{ at, message: `every host in \`${network}\` is believed` }] : [];
    }),
  );
}

function isWide(network: string): boolean {
  const [address = "", prefix] = network.split("/");
  return prefix !== undefined && Number(prefix) < (address.includes(":") ? prefixMin.v6 : prefixMin.v4);
}
