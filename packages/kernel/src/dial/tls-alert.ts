// Promises that a provider which refuses us in the handshake is told apart from one that cannot be reached or believed, with its own word for why and what it
// was shown. Trusts OpenSSL's names. Specified in RFC 8446 §6.2 and docs/dial.md "Faults".
import type { Socket } from "node:net";
import { DialFault } from "./dial-fault.ts";

/** `ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED`, `ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE` … */
const alertCode = /^ERR_SSL_[A-Z0-9/]+_ALERT_([A-Z_]+)$/;

/** What each socket showed of us, where that was anything. Over TLS 1.3 a provider refuses it when the handshake is over on our side. */
const shownOn = new WeakMap<Socket, string>();

export function rememberShown(socket: Socket, shown: string | undefined): void {
  if (shown !== undefined) shownOn.set(socket, shown);
}

/** Null: the error is no alert of the other side. `where`: for operators. */
export function alertFault(code: string | undefined, where: string, shown: string | undefined): DialFault | null {
  const alert = alertCode
    .exec(code ?? "")?.[1]
    ?.toLowerCase()
    .replaceAll("_", " ");
  if (alert === undefined) return null;
  const what = shown === undefined ? "it was shown no certificate of ours" : `it was shown ${shown}`;
  return new DialFault("tls-refused", `${where} refused the handshake (TLS alert: ${alert}); ${what}`);
}

/** The same of a socket whose handshake was over. */
export function lateAlertFault(code: string | undefined, socket: Socket | null): DialFault | null {
  return alertFault(code, "the provider", socket === null ? undefined : shownOn.get(socket));
}

/** What to think of a connection that ended before any answer, behind the text that says so: some providers hang up without an alert. */
export function hangUpHint(socket: Socket | null): string {
  const shown = socket === null ? undefined : shownOn.get(socket);
  return shown === undefined ? "" : `; it may not take ${shown}`;
}
