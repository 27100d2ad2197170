// Promises one verified TLS connection for a protocol that is not HTTP, by the same resolve, judge, dial and verify as every other.
// Trusts what the connector trusts. Specified in docs/dial.md.
import type { TLSSocket } from "node:tls";
import { parseOrigin } from "./decide-dial.ts";
import { DialFault } from "./dial-fault.ts";
import { dialOrigin, openSocket } from "./guarded-connector.ts";
import type { DialRules, DialTls } from "./port.ts";
import { createResolver, readHostsFile } from "./resolver.ts";

export interface ByteStreamOptions {
  readonly rules: DialRules;
  readonly tls: DialTls;
  readonly connectTimeoutMs: number;
}

const clock = { monotonic: () => performance.now() };

/** `https://host:port` says where and that it is TLS. Faults: DialFault. */
export async function dialBytes(text: string, { rules, tls, connectTimeoutMs }: ByteStreamOptions): Promise<TLSSocket> {
  const origin = parseOrigin(text);
  if (typeof origin === "string") throw new DialFault("address-refused", `this origin is not dialled: ${origin}`);
  if (!origin.secure)
    throw new DialFault("address-refused", `${text} is not TLS: only verified TLS connections are made`);
  const resolver = createResolver({ clock, hosts: readHostsFile() });
  // A secure origin gives a TLS socket.
  return (await dialOrigin({ origin, rules, tls, connectTimeoutMs, resolver, clock, openSocket })) as TLSSocket;
}
