// Promises one verified TLS connection for a protocol that is not HTTP, by the same resolve, judge, dial and verify as every other; also where the
// protocol begins in clear and asks for TLS (STARTTLS). Trusts what the connector trusts. Specified in docs/dial.md.
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Origin, parseOrigin } from "./decide-dial.ts";
import { DialFault } from "./dial-fault.ts";
import { dialOrigin, openSocket, secureSocket } from "./guarded-connector.ts";
import type { DialRules, DialTls } from "./port.ts";
import { createResolver, readHostsFile } from "./resolver.ts";

export interface ByteStreamOptions {
  readonly rules: DialRules;
  readonly tls: DialTls;
  readonly connectTimeoutMs: number;
}

export interface UpgradeOptions extends ByteStreamOptions {
  /**
   * Speaks in clear until the other side is ready for TLS; resolves with what it read beyond that. Rejects to give up.
   * Nothing that is secret may be said here.
   */
  readonly asks: (plain: Socket) => Promise<Uint8Array>;
}

const clock = { monotonic: () => performance.now() };
/** Servers of other protocols are not offered HTTP. */
const alpn: readonly string[] = [];

/** `https://host:port` says where and that it is TLS. Faults: DialFault. */
export async function dialBytes(text: string, { rules, tls, connectTimeoutMs }: ByteStreamOptions): Promise<TLSSocket> {
  const origin = secureOrigin(text);
  // A secure origin gives a TLS socket.
  return (await dialOrigin({ ...dialled(), origin, rules, tls, connectTimeoutMs })) as TLSSocket;
}

/** `https://host:port` says where; the connection begins in clear and is verified TLS when it is given out. Faults: DialFault, and what `asks` throws. */
export async function dialUpgraded(
  text: string,
  { rules, tls, connectTimeoutMs, asks }: UpgradeOptions,
): Promise<TLSSocket> {
  const origin = secureOrigin(text);
  const plain = await dialOrigin({
    ...dialled(),
    ...{ origin: { ...origin, secure: false }, rules, tls: {}, connectTimeoutMs },
  });
  plain.on("error", () => undefined);
  try {
    const early = await asks(plain);
    // What came in clear after the word for TLS would be taken for something said under its protection (CVE-2011-0411).
    if (early.length > 0)
      throw new DialFault("protocol", `${origin.host} went on in clear after it had agreed to TLS: nothing is sent`);
  } catch (error) {
    plain.destroy();
    throw error;
  }
  // The peer was compared with the judged address when it was dialled.
  const address = plain.remoteAddress ?? "";
  return secureSocket(plain, { origin, address, tls, timeoutMs: connectTimeoutMs, alpn });
}

function dialled() {
  return { resolver: createResolver({ clock, hosts: readHostsFile() }), clock, openSocket, alpn };
}

function secureOrigin(text: string): Origin {
  const origin = parseOrigin(text);
  if (typeof origin === "string") throw new DialFault("address-refused", `this origin is not dialled: ${origin}`);
  if (!origin.secure)
    throw new DialFault("address-refused", `${text} is not TLS: only verified TLS connections are made`);
  return origin;
}
