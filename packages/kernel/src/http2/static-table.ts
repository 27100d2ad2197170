// Promises the fields that HPACK numbers for everybody. Trusts nothing: it is data. Specified in RFC 7541 Appendix A.

const names =
  ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206|:status 304|:status 400|" +
  ":status 404|:status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|" +
  "authorization|cache-control|content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|cookie|" +
  "date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|" +
  "proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|" +
  "vary|via|www-authenticate";

/** By index; nothing has index 0. */
export const staticFields: readonly ({ readonly name: string; readonly value: string } | null)[] = [
  null,
  ...names.split("|").map((text) => {
    const space = text.indexOf(" ");
    return space < 0 ? { name: text, value: "" } : { name: text.slice(0, space), value: text.slice(space + 1) };
  }),
];
