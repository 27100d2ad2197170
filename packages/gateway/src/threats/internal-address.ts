// Promises whether a text names a place inside: a URL whose host is no public address, or a scheme that reads files or speaks to services. No name is
// resolved: what a name stands for, only whoever dials it knows. Trusts WHATWG's parser for numbers. Pure. Specified in docs/threats.md "server-side-request".
import { classifyAddress } from "@sallyport/kernel/dial/decide-dial.ts";

const schemes =
  /(?:^|[^a-z0-9+.-])(?:(?:file|gopher|dict|ldaps?|jar|netdoc|phar|expect|tftp):(?:[/\\]{1,3}|https?:|file:)|php:\/\/(?:input|filter|memory))/;
const urls = /\b(?:https?|wss?|ftps?):[/\\]{1,8}([^\s"'<>/?#]{1,300})/g;
const relative = /^[/\\]{2}([^\s"'<>/\\?#]{1,300})/;
const insideNames =
  /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|lan|corp|home\.arpa|svc|nip\.io|sslip\.io|xip\.io|localtest\.me|lvh\.me)\.?$|^(?:metadata|instance-data|kubernetes(?:\.default)?)\.?$/;
/** The last part begins with a letter, so that nobody takes it for a number (WHATWG URL §3.5). */
const plainName = /^(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*\.?$/;
const plainNumbers = /^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/;

export function isServerSideRequest(text: string): boolean {
  if (!text.includes(":") && !/^[/\\]{2}/.test(text)) return false;
  if (schemes.test(text)) return true;
  const [, first] = relative.exec(text) ?? [];
  if (first !== undefined && isInside(first)) return true;
  for (const [, authority = ""] of text.matchAll(urls)) if (isInside(authority)) return true;
  return false;
}

/** Readers differ on where a host begins and ends: each that may be meant is judged. */
function isInside(authority: string): boolean {
  const beforeBackslash = authority.split("\\", 1)[0] ?? authority;
  return [...new Set([authority, beforeBackslash])].some((one) => isHostInside(one.slice(one.lastIndexOf("@") + 1)));
}

function isHostInside(hostAndPort: string): boolean {
  const host = hostAndPort.startsWith("[")
    ? hostAndPort.slice(0, hostAndPort.indexOf("]") + 1)
    : (hostAndPort.split(":", 1)[0] ?? "");
  // Ends of sentences and brackets of prose are not of the host.
  const bare = host.startsWith("[") ? host : host.replace(/[.,;)\]}*_`]{1,8}$/, "");
  if (bare === "" || bare === "[") return false;
  if (insideNames.test(bare)) return true;
  if (plainName.test(bare)) return false;
  if (plainNumbers.test(bare)) return isAddressInside(bare);
  const parsed = URL.parse(`http://${bare}/`);
  if (parsed === null) return false;
  const { hostname } = parsed;
  if (insideNames.test(hostname)) return true;
  return isAddressInside(hostname.replace(/^\[|\]$/g, ""));
}

function isAddressInside(address: string): boolean {
  const kind = classifyAddress(address);
  return kind !== "public" && kind !== "not-an-address";
}
