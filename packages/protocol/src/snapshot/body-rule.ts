// Promises the shape in which control tells a gateway what requests of an operation carry. Trusts the manifest's signature.
// Specified in docs/formats/snapshot.md "Bodies" and docs/inspection.md "What a request carries".
import type { BlobId } from "./objects.ts";

/** How content is read: `opaque` streams through unread, every other kind is held, judged whole, and sent as the bytes that were judged. */
export type BodyContent = "json" | "form" | "multipart" | "xml" | "opaque";

/** A member of a form whose text is read as a value of `type`; every other one is one text. */
export interface FormField {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean";
  /** It may be there more than once. */
  readonly list?: true;
}

/** A part of `multipart/form-data`; one that is not declared is refused. */
export interface PartRule {
  readonly name: string;
  /** Media types it may have; empty: it is a text, without a file name. */
  readonly types: readonly string[];
  readonly bytesMax: number;
  readonly required: boolean;
  /** How often it may be there. */
  readonly most: number;
}

export interface BodyRule {
  readonly content: BodyContent;
  readonly contentType: string;
  /** Of JSON, and of the members of a form. */
  readonly schema?: BlobId;
  readonly fields?: readonly FormField[];
  readonly parts?: readonly PartRule[];
  /** It may come with `Content-Encoding: gzip`. Absent: it comes as it is. */
  readonly encoding?: "gzip";
}
