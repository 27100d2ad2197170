// Promises a message as mail that no value can break out of: fixed header fields, printable ASCII, short lines, dots doubled. Pure. Trusts the addresses,
// which read-alerts.ts has judged. Specified by RFC 5322, RFC 3834, RFC 5321 §4.5.2 and docs/alerts.md "Mail".
import { type Alert, alertLines, alertTitle, printable } from "./alert.ts";

export interface Envelope {
  readonly from: string;
  readonly recipients: readonly string[];
}

/** What follows DATA, without the line that ends it; every line ends in CRLF. */
export function smtpMessage(alert: Alert, { from, recipients }: Envelope, nowMs: number): string {
  const domain = from.slice(from.lastIndexOf("@") + 1);
  const head = [
    `From: Sallyport <${from}>`,
    ...recipients.map((to, at) => `${at === 0 ? "To:" : ""} <${to}>${at === recipients.length - 1 ? "" : ","}`),
    `Subject: ${alertTitle(alert)}`,
    `Date: ${dateOf(nowMs)}`,
    `Message-ID: <${alert.id}@${domain}>`,
    // RFC 3834 §5: nobody's holiday notice answers it.
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "Content-Transfer-Encoding: 7bit",
  ];
  const lines = [...head.map(printable), "", ...alertLines(alert)];
  return lines.map((line) => `${line.startsWith(".") ? "." : ""}${line}\r\n`).join("");
}

/** RFC 5322 §3.3, in UTC. */
function dateOf(nowMs: number): string {
  return new Date(nowMs).toUTCString().replace("GMT", "+0000");
}
