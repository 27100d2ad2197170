// Promises resolve, judge, dial the judged address, compare, verify: in that order, for every socket. Trusts the resolver for
// nothing and TLS for the proof of possession. Specified in docs/dial.md.
import { createHash, X509Certificate } from "node:crypto";
import { connect as connectTcp, isIP, type Socket, type TcpNetConnectOpts } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect as connectTls,
  type PeerCertificate,
  type TLSSocket,
} from "node:tls";
import type { Clock } from "../ports.ts";
import { addressKey } from "./address.ts";
import { decideDial, type Origin } from "./decide-dial.ts";
import { DialFault } from "./dial-fault.ts";
import { patience } from "./patience.ts";
import type { DialRules, DialTls } from "./port.ts";
import type { Resolver } from "./resolver.ts";
import { alertFault, rememberShown } from "./tls-alert.ts";

/** Addresses tried for one connection. */
export const attemptsMax = 8;
const attemptTimeoutMinMs = 250;
const closedCode = "ECLOSED";

export interface SocketRequest {
  readonly origin: Origin;
  /** The judged literal address. */
  readonly address: string;
  readonly tls: DialTls;
  readonly timeoutMs: number;
  /** Protocols offered in the handshake (RFC 7301); absent: HTTP/1.1. Some servers of other protocols refuse what they do not know. */
  readonly alpn?: readonly string[];
  /** What a plain socket reads goes here, out of a buffer that is used again when this returns; absent, and for TLS: it comes as `data`. */
  readonly received?: (bytes: Buffer) => void;
}

/** Opens one socket to a literal address; a port, so that tests see what would be dialled without dialling it. */
export type OpenSocket = (request: SocketRequest) => Promise<Socket | TLSSocket>;

/** Node falls back to the common name where a certificate has no SAN; here only SANs count (RFC 9525 §6.3). */
function checkName(host: string, certificate: PeerCertificate): Error | undefined {
  const problem = checkServerIdentity(host, certificate);
  if (problem !== undefined) return problem;
  const read = new X509Certificate(certificate.raw);
  const named = isIP(host) ? read.checkIP(host) : read.checkHost(host, { subject: "never", partialWildcards: false });
  return named === undefined ? new Error("the certificate names the host only in its common name") : undefined;
}

function tlsOptions(request: SocketRequest): ConnectionOptions {
  const { origin, address, tls, alpn = ["http/1.1"] } = request;
  const pinOnly = tls.pinOnly === true;
  return {
    host: address,
    port: origin.port,
    // RFC 6066 §3: an address is no server name.
    ...(isIP(origin.host) ? {} : { servername: origin.host }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: typeof tls.key === "string" ? tls.key : tls.key() }),
    minVersion: "TLSv1.2",
    ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    // Said on every connection, so that no variable of the process decides it. With pinOnly the exact key takes the chain's place:
    // createDialer refuses it without pins, and assertPin runs before the socket is handed to anyone.
    rejectUnauthorized: !pinOnly,
    checkServerIdentity: (_name, certificate) => (pinOnly ? undefined : checkName(origin.host, certificate)),
  };
}

function connectFault(request: SocketRequest, error: Error & { code?: string }): DialFault {
  const { origin, address } = request;
  const where = `${origin.host} at ${address} port ${origin.port}`;
  const code = error.code ?? "";
  const refused = alertFault(code, where, request.tls.shown);
  if (refused !== null) return refused;
  // System errors are E and capitals; everything else that ends a handshake is OpenSSL or our own check refusing the other side.
  const network = code === closedCode || (/^E[A-Z]+$/.test(code) && code !== "EPROTO");
  if (origin.secure && !network) {
    const why = code === "" ? error.message : code;
    return new DialFault(
      "tls-untrusted",
      `${where} did not prove who it is (${why}). Check the name in its certificate and the roots given for it`,
      error,
    );
  }
  // Over TLS 1.2 a provider judges what it is shown before the handshake is over, and some hang up without an alert.
  const { shown } = request.tls;
  const hint = shown === undefined || code !== "ECONNRESET" ? "" : `; it may not take ${shown}`;
  return new DialFault("connect-failed", `${where} could not be reached (${code})${hint}`, error);
}

/** One for all plain sockets of this thread: the kernel copies a read into it and its bytes are used up before the next read of any of them. */
let readBuffer: Buffer | null = null;
export const readBytesMax = 64 * 1024;

function readingInto(received: SocketRequest["received"]): Partial<Pick<TcpNetConnectOpts, "onread">> {
  if (received === undefined) return {};
  readBuffer ??= Buffer.allocUnsafeSlow(readBytesMax);
  const buffer = readBuffer;
  const callback = (length: number): boolean => {
    received(buffer.subarray(0, length));
    return true;
  };
  return { onread: { buffer, callback } };
}

/** Opens a real socket. */
export const openSocket: OpenSocket = (request) => {
  const { origin, address, received } = request;
  if (origin.secure) return opened(connectTls(tlsOptions(request)), request);
  return opened(
    connectTcp({ host: address, port: origin.port, autoSelectFamily: false, ...readingInto(received) }),
    request,
  );
};

/** TLS over a socket that is connected to the judged address, with every check of a connection that begins with it. The request's origin is a secure one. */
export async function secureSocket(plain: Socket, request: SocketRequest): Promise<TLSSocket> {
  try {
    const socket = await opened(connectTls({ ...tlsOptions(request), socket: plain }), request);
    assertPin(socket, request);
    return socket;
  } catch (fault) {
    plain.destroy();
    throw fault;
  }
}

/** Resolves when the socket is connected and, for TLS, the other side has proven who it is. */
function opened<S extends Socket | TLSSocket>(socket: S, request: SocketRequest): Promise<S> {
  return new Promise((resolve, reject) => {
    const { origin, address, timeoutMs } = request;
    const patient = patience(timeoutMs, () => {
      socket.destroy();
      reject(
        new DialFault(
          "connect-timeout",
          `${origin.host} at ${address} port ${origin.port} did not answer in ${timeoutMs} ms`,
        ),
      );
    });
    const fail = (error: Error) => {
      patient.end();
      socket.destroy();
      reject(connectFault(request, error));
    };
    const close = () => fail(Object.assign(new Error("closed before the connection was made"), { code: closedCode }));
    socket.once("error", fail);
    socket.once("close", close);
    socket.once(origin.secure ? "secureConnect" : "connect", () => {
      patient.end();
      socket.removeListener("error", fail);
      socket.removeListener("close", close);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 60_000);
      rememberShown(socket, request.tls.shown);
      resolve(socket);
    });
  });
}

/** The socket must be connected to the address that was judged, whatever happened in between. */
function assertPeerAddress(socket: Socket, request: SocketRequest): void {
  const reached = socket.remoteAddress ?? "";
  if (addressKey(reached) !== null && addressKey(reached) === addressKey(request.address)) return;
  socket.destroy();
  throw new DialFault(
    "address-refused",
    `${request.origin.host} was judged at ${request.address} but reached at ${reached || "no address"}`,
  );
}

function assertPin(socket: Socket, request: SocketRequest): void {
  const { pins } = request.tls;
  if (pins === undefined) return;
  // Pins are refused for http origins, so this is a TLSSocket.
  const key = (socket as TLSSocket).getPeerX509Certificate()?.publicKey.export({ format: "der", type: "spki" });
  const hash = key === undefined ? "" : createHash("sha256").update(key).digest("base64");
  if (pins.includes(hash)) return;
  socket.destroy();
  throw new DialFault(
    "pin-mismatch",
    `${request.origin.host} proved a key that is not the pinned one. If the key was changed on purpose, hand over its new pin`,
  );
}

export interface ConnectorOptions {
  readonly origin: Origin;
  readonly rules: DialRules;
  readonly tls: DialTls;
  readonly connectTimeoutMs: number;
  readonly resolver: Resolver;
  readonly clock: Pick<Clock, "monotonic">;
  readonly openSocket: OpenSocket;
  readonly alpn?: readonly string[];
}

/** All addresses of the origin, each of them judged; the first that may not be dialled refuses all. */
async function judgedAddresses(options: ConnectorOptions): Promise<readonly string[]> {
  const { origin, rules, resolver, connectTimeoutMs } = options;
  const addresses = isIP(origin.host) ? [origin.host] : await resolver.resolve(origin.host, connectTimeoutMs);
  if (addresses.length === 0) throw new DialFault("name-not-found", `${origin.host} has no address`);
  for (const address of addresses) {
    const verdict = decideDial({ host: origin.host, address, port: origin.port }, rules);
    if (verdict.kind === "deny") throw new DialFault("address-refused", verdict.reason);
  }
  return addresses.slice(0, attemptsMax);
}

/** Another address of a name is no way around them. */
const proofFaults: ReadonlySet<string> = new Set([
  "address-refused",
  "pin-mismatch",
  "tls-untrusted",
  "tls-refused",
  "no-key",
]);

/** A new verified socket to the origin. Faults: DialFault. */
export async function dialOrigin(options: ConnectorOptions): Promise<Socket | TLSSocket> {
  const { origin, tls, connectTimeoutMs, clock, alpn } = options;
  const endsAt = clock.monotonic() + connectTimeoutMs;
  const addresses = await judgedAddresses(options);
  let last: unknown = new DialFault("connect-timeout", `${origin.host} was not reached in ${connectTimeoutMs} ms`);
  for (const [i, address] of addresses.entries()) {
    const leftMs = endsAt - clock.monotonic();
    if (leftMs <= 0) break;
    // A share for each address that is left, so that one that swallows packets does not use up the time of the others.
    const shareMs = Math.min(leftMs, Math.max(attemptTimeoutMinMs, leftMs / (addresses.length - i)));
    const request = { origin, address, tls, timeoutMs: Math.ceil(shareMs), ...(alpn === undefined ? {} : { alpn }) };
    try {
      const socket = await options.openSocket(request);
      assertPeerAddress(socket, request);
      assertPin(socket, request);
      return socket;
    } catch (fault) {
      if (fault instanceof DialFault && proofFaults.has(fault.code)) throw fault;
      last = fault;
    }
  }
  throw last;
}
