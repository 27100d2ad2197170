// Promises what the fields of a request say about repeats and versions, or the denial with its fix: a key where one is required, in one reading, and the
// version it means to change where that is declared. Pure. Trusts the canonical request. Specified in docs/idempotency.md.
import type { CanonicalHeaders } from "@sallyport/protocol/canonical/request.ts";
import { readKeyField } from "@sallyport/protocol/idempotency-key.ts";
import type { OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { readIfMatch } from "./entity-tags.ts";

/** `key`: null where none was sent, or none counts here. */
export type Asked = { readonly kind: "asked"; readonly key: string | null } | Deny;

export function decideAsked(
  headers: CanonicalHeaders,
  { idempotency, precondition }: Pick<OperationObject, "idempotency" | "precondition">,
): Asked {
  const refused = precondition === undefined ? null : decidePrecondition(headers, precondition);
  if (refused !== null) return refused;
  if (idempotency === undefined) return { kind: "asked", key: null };
  const read = readKeyField(headers["idempotency-key"]);
  if (read.kind === "malformed")
    return deny("idempotency", "idempotency-key-malformed", {
      why: read.why,
      detail: `The Idempotency-Key field has ${read.why}`,
    });
  if (read.kind === "key") return { kind: "asked", key: read.key };
  if (idempotency.key === "optional") return { kind: "asked", key: null };
  const detail = 'Send Idempotency-Key: "…" with a value that you choose anew for each effect and keep for its repeats';
  return deny("idempotency", "idempotency-key-missing", { detail });
}

function decidePrecondition(headers: CanonicalHeaders, kind: "if-match" | "if-match-strong"): Deny | null {
  const read = readIfMatch(headers["if-match"]);
  const malformed = (why: string) =>
    deny("idempotency", "precondition-malformed", { why, detail: `The If-Match field has ${why}` });
  switch (read.kind) {
    case "none":
      return deny("idempotency", "precondition-required", {
        detail: "Read the resource, and send the ETag of what you read as If-Match",
      });
    case "any":
      return malformed("`*`, which matches every version");
    case "malformed":
      return malformed(read.why);
    case "tags":
      return read.hasWeak && kind === "if-match-strong"
        ? malformed("a weak entity tag, which does not tell two versions apart for certain")
        : null;
  }
}
