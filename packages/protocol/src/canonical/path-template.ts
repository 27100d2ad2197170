// Promises a guess at the template a path was made from: what looks like the name of one thing becomes a parameter, words stay.
// Trusts canonical segments. A guess is for people and proposals; nothing is ever routed or decided by it. Specified in docs/observe.md.

const wordMax = 40;
/** Numbers, dates, hashes, UUIDs, ULIDs, order numbers: mostly digits, or long with digits in between. */
const digit = /[0-9]/g;
const plainWord = /^[A-Za-z0-9._~-]+$/;

/** `["v1", "invoices", "4711", "lines", "2"]` -> `/v1/invoices/{id}/lines/{id2}` */
export function guessTemplate(segments: readonly string[]): string {
  let parameters = 0;
  const parts = segments.map((segment) => {
    if (!isOneThing(segment)) return segment;
    parameters++;
    return parameters === 1 ? "{id}" : `{id${parameters}}`;
  });
  return `/${parts.join("/")}`;
}

function isOneThing(segment: string): boolean {
  if (segment.length > wordMax || !plainWord.test(segment)) return true;
  const digits = segment.match(digit)?.length ?? 0;
  // `v1`, `oauth2` and `s3` are words; `7`, `2026-01-31` and `INV-00042` are not.
  return digits >= 3 || digits === segment.length || (digits > 0 && segment.length >= 16);
}
