// Promises that a redirect URI in the configuration has one spelling and leads to its client alone. Trusts nothing.
// Rules: RFC 6749 §3.1.2, RFC 8252 §7 and §8.3, RFC 9700 §2.1, docs/identity/authorization-code.md.

export const redirectUriLengthMax = 512;

export interface RedirectUriFault {
  readonly message: string;
  readonly fix: string;
}

const loopbackHosts = new Set(["127.0.0.1", "[::1]"]);

/** What is wrong with a redirect URI of a client that is public or not; null when it may stand. Pure. */
export function redirectUriFault(text: string, isPublic: boolean): RedirectUriFault | null {
  const url = URL.parse(text);
  if (url === null || text.length > redirectUriLengthMax || !/^[\x21-\x7e]+$/.test(text))
    return { message: "not a redirect URI", fix: "write an absolute URI, for example https://portal.example/callback" };
  // Compared byte by byte at run time: a spelling that every browser changes would never match.
  if (url.href !== text) return { message: "not in the form browsers send it", fix: `write ${url.href}` };
  if (text.includes("#")) return { message: "a redirect URI has no fragment", fix: "remove everything from `#` on" };
  if (url.username !== "" || url.password !== "")
    return { message: "a redirect URI names no user", fix: "remove everything before `@`" };
  if (text.includes("*")) return { message: "there are no wildcards", fix: "write each URI out" };
  if (url.protocol === "https:") return null;
  if (url.protocol === "http:") return loopbackFault(url, isPublic);
  if (!isPublic) return { message: "a client that keeps a key is answered over https", fix: "write an https URI" };
  return /^[a-z][a-z0-9]*(\.[a-z0-9-]+)+:$/.test(url.protocol)
    ? null
    : {
        message: "a scheme anybody could claim",
        fix: "use a scheme made of a domain name you own, for example com.example.app:/callback",
      };
}

/** RFC 8252 §7.3: the address itself, because the name `localhost` may be sent elsewhere (§8.3). */
function loopbackFault(url: URL, isPublic: boolean): RedirectUriFault | null {
  if (loopbackHosts.has(url.hostname)) {
    if (!isPublic || url.port === "") return null;
    return {
      message: "an app on the user's machine is answered at any port",
      fix: `write http://${url.hostname}${url.pathname}`,
    };
  }
  return {
    message: "an answer over http can be read on its way",
    fix: "write an https URI, or http://127.0.0.1 for an app on the user's own machine",
  };
}
