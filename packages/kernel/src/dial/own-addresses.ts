// Promises every address and port at which this node itself answers, for DialRules.ownAddresses. Trusts the list of interfaces.
import type { networkInterfaces } from "node:os";
import { classifyAddress } from "./decide-dial.ts";

export interface Bound {
  /** As bound; `0.0.0.0` and `::` stand for every interface. */
  readonly address: string;
  readonly port: number;
}

/** `ip:port` for each bound address, wildcards spread over the interfaces. Pure: pass `os.networkInterfaces()`. */
export function ownAddresses(
  bound: readonly Bound[],
  interfaces: ReturnType<typeof networkInterfaces>,
): ReadonlySet<string> {
  const local = [
    "127.0.0.1",
    "::1",
    ...Object.values(interfaces).flatMap((list) => (list ?? []).map((entry) => entry.address)),
  ];
  const own = new Set<string>();
  for (const { address, port } of bound) {
    const everywhere = address === "0.0.0.0" || address === "::";
    for (const one of everywhere ? local : [address])
      if (classifyAddress(one) !== "not-an-address") own.add(`${one}:${port}`);
  }
  return own;
}
