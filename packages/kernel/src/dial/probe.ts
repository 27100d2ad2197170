// Promises whether an origin could be dialled now, by the same resolve, judge, dial and verify as a crossing, and what stood in the way.
// Sends no byte of HTTP. Trusts what the connector trusts. Specified in docs/dial.md "Probes".
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { parseOrigin } from "./decide-dial.ts";
import { type DialFaultCode, toDialFault } from "./dial-fault.ts";
import { dialOrigin, openSocket } from "./guarded-connector.ts";
import type { DialRules, DialTls } from "./port.ts";
import { createResolver, readHostsFile } from "./resolver.ts";

/** What a server showed of itself; as it stands in the certificate, proven or not. */
export interface ShownCertificate {
  readonly names: string;
  readonly subject: string;
  readonly issuer: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

export type ProbeReport =
  | { readonly kind: "reached"; readonly address: string; readonly ms: number; readonly shown: ShownCertificate | null }
  | {
      readonly kind: "failed";
      readonly code: DialFaultCode;
      readonly why: string;
      /** What the other side showed when that is why it was refused. */
      readonly shown: ShownCertificate | null;
    };

export interface ProbeOptions {
  readonly rules: DialRules;
  readonly tls?: DialTls;
  readonly timeoutMs: number;
}

const clock = { monotonic: () => performance.now() };

/** Connects to `http(s)://host[:port]`, verifies, and closes at once. Never rejects. */
export async function probeOrigin(text: string, options: ProbeOptions): Promise<ProbeReport> {
  const origin = parseOrigin(text);
  if (typeof origin === "string") return { kind: "failed", code: "address-refused", why: origin, shown: null };
  const { rules, tls = {}, timeoutMs } = options;
  const resolver = createResolver({ clock, hosts: readHostsFile() });
  const dial = { origin, rules, connectTimeoutMs: timeoutMs, resolver, clock, openSocket };
  const from = performance.now();
  try {
    const socket = await dialOrigin({ ...dial, tls });
    const ms = performance.now() - from;
    const shown = origin.secure ? shownOn(socket as TLSSocket) : null; // a secure origin gives a TLS socket
    const address = `${isIP(socket.remoteAddress ?? "") === 6 ? `[${socket.remoteAddress}]` : socket.remoteAddress}:${origin.port}`;
    socket.destroy();
    return { kind: "reached", address, ms, shown };
  } catch (error) {
    const fault = toDialFault(error);
    const shown = fault.code === "tls-untrusted" ? await readShown({ ...dial, tls }) : null;
    return { kind: "failed", code: fault.code, why: fault.message, shown };
  }
}

/**
 * The certificate of a server that was not believed. The connection believes nobody: its pin is one that no key has, so it is refused
 * before anybody could use it, and only what was shown until then is kept.
 */
async function readShown(dial: Parameters<typeof dialOrigin>[0]): Promise<ShownCertificate | null> {
  let shown: ShownCertificate | null = null;
  const nobody = Buffer.alloc(32).toString("base64");
  const tls: DialTls = { pins: [nobody], pinOnly: true };
  const look: typeof openSocket = async (request) => {
    const socket = await openSocket(request);
    shown = shownOn(socket as TLSSocket); // asked for after a TLS fault only
    return socket;
  };
  await dialOrigin({ ...dial, tls, openSocket: look }).then(
    (socket) => socket.destroy(),
    () => undefined,
  );
  return shown;
}

function shownOn(socket: TLSSocket): ShownCertificate | null {
  const raw = socket.getPeerX509Certificate()?.raw;
  if (raw === undefined) return null;
  const certificate = new X509Certificate(raw);
  return {
    names: certificate.subjectAltName ?? "none",
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    notAfter: certificate.validToDate.getTime(),
  };
}

function oneLine(name: string | undefined): string {
  return (name ?? "").split("\n").join(", ");
}
