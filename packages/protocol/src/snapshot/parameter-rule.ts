// Promises the shape in which control tells a gateway what parameters of an operation's requests may be. Trusts the manifest's signature.
// Specified in docs/formats/snapshot.md "Parameters" and docs/inspection.md.
import type { BlobId } from "./objects.ts";

export type ParameterPlace = "path" | "query" | "header";

/** One parameter that is read; its text becomes a value of `type`, or the request is refused. */
export interface ParameterField {
  readonly in: ParameterPlace;
  /** Of a header field: in lower case. */
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean";
  /** A list of such values: each a parameter of its own, or one text with commas between them. Absent: one value. */
  readonly list?: "repeated" | "commas";
}

export interface ParameterRule {
  readonly fields: readonly ParameterField[];
  /** JSON Schema of an object with the members `path`, `query` and `header`, each an object of the values by name. */
  readonly schema: BlobId;
  /** What becomes of requests with query parameters that are not among `fields`. */
  readonly undeclaredQuery: "keep" | "refuse";
}
