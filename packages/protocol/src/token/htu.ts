// Promises one form for URLs that RFC 3986 calls equivalent, so that a proof for one URL is good for no other.
// Trusts nothing. Specified in docs/formats/token.md §5 (RFC 3986 §6.2.2-6.2.3, RFC 9449 §4.3).

const urlUnitsMax = 8192;
const httpUrl = /^(https?):\/\/([^/?#]*)([^?#]*)/i;
const hostName = /^(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::([0-9]{0,5}))?$/;
const pathCharacters = /^(?:\/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*$/;
const unreserved = /[A-Za-z0-9._~-]/;
const outsideAscii = /[^\x21-\x7e]/;

/** Upper-case escapes, with those of unreserved characters decoded. The escapes must already be well-formed. */
export function normalizeEscapes(path: string): string {
  if (!path.includes("%")) return path;
  return path.replace(/%[0-9A-Fa-f]{2}/g, (octet) => {
    const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16));
    return unreserved.test(character) ? character : octet.toUpperCase();
  });
}

/** RFC 3986 §5.2.4 for a path that starts with a slash. */
function removeDotSegments(path: string): string {
  if (!path.includes("/.")) return path;
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment !== "." && segment !== "..") kept.push(segment);
    else if (last) kept.push("");
  }
  return `/${kept.join("/")}`;
}

/** Normal form of an http or https URL without query and fragment; null when it has none and therefore equals nothing. */
export function normalizeHtu(url: string): string | null {
  if (url.length > urlUnitsMax || outsideAscii.test(url)) return null;
  const parts = httpUrl.exec(url);
  if (parts === null) return null;
  const scheme = (parts[1] ?? "").toLowerCase();
  const authority = (parts[2] ?? "").toLowerCase();
  const path = parts[3] ?? "";
  const host = hostName.exec(authority);
  if (host === null || !pathCharacters.test(path)) return null;
  const port = host[1] === undefined || host[1] === "" ? "" : String(Number(host[1]));
  if (Number(port) > 65_535) return null;
  const name = host[1] === undefined ? authority : authority.slice(0, authority.length - host[1].length - 1);
  const shown = port === "" || port === (scheme === "https" ? "443" : "80") ? "" : `:${port}`;
  return `${scheme}://${name}${shown}${removeDotSegments(normalizeEscapes(path === "" ? "/" : path))}`;
}

/** Do both name the same resource, query and fragment aside? */
export function isSameHtu(claimed: string, actual: string): boolean {
  const normal = normalizeHtu(claimed);
  return normal !== null && (normal === actual || normal === normalizeHtu(actual));
}
