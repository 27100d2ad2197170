// Promises one reading of If-Match: the entity tags it names, or why it names none. Pure. Trusts nothing.
// Specified in docs/idempotency.md "If-Match"; RFC 9110 §8.8.3 and §13.1.1.

/** Entity tags in one request. */
export const entityTagsMax = 16;
const fieldLengthMax = 4_096;

export type TagReading =
  | { readonly kind: "tags"; readonly hasWeak: boolean }
  | { readonly kind: "none" }
  | { readonly kind: "any" }
  | { readonly kind: "malformed"; readonly why: string };

/** RFC 9110 §8.8.3, without obs-text. */
const tagForm = /(W\/)?"[\x21\x23-\x7e]*"/y;
const gapForm = /[ \t]*,[ \t]*/y;

/** Reads the values of all If-Match fields. */
export function readIfMatch(values: readonly string[] | undefined): TagReading {
  if (values === undefined || values.length === 0) return { kind: "none" };
  if (values.length > 1) return { kind: "malformed", why: "more than one If-Match field" };
  const [text = ""] = values;
  if (text.length > fieldLengthMax) return { kind: "malformed", why: `more than ${fieldLengthMax} characters` };
  if (text === "*") return { kind: "any" };
  let hasWeak = false;
  let at = 0;
  for (let count = 1; count <= entityTagsMax; count++) {
    tagForm.lastIndex = at;
    const tag = tagForm.exec(text);
    if (tag === null) return { kind: "malformed", why: "something that is no entity tag" };
    hasWeak ||= tag[1] !== undefined;
    at = tagForm.lastIndex;
    if (at === text.length) return { kind: "tags", hasWeak };
    gapForm.lastIndex = at;
    if (!gapForm.test(text)) return { kind: "malformed", why: "something that is no entity tag" };
    at = gapForm.lastIndex;
  }
  return { kind: "malformed", why: `more than ${entityTagsMax} entity tags` };
}
