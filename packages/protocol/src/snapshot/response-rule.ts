// Promises the shape of what an operation says of its answers: how they are looked into, and what they say of the outcome. Trusts the manifest's signature.
// Specified in docs/formats/snapshot.md "Responses" and docs/inspection.md.
import type { BlobId, DataClass, Scalar } from "./objects.ts";

/** What a schema says of one place of a JSON value: who may read what stands there. */
export interface LabelNode {
  /** Classes the place itself is labelled with, with everything below it. */
  readonly classes?: readonly DataClass[];
  /** Place of each member that is declared by name; names are folded (fold-case.ts). */
  readonly members?: Readonly<Record<string, number>>;
  /** Place of every other member that is declared without a name; absent: such a member is not declared. */
  readonly rest?: number;
  /** Place of the items of an array; absent: they are not declared. */
  readonly items?: number;
  /** `false`: only an object, a list or null is declared here. */
  readonly scalar?: false;
}

/** How the answers of an operation are looked into before any of them is released. */
export interface ResponseRule {
  /** By status (`200`), class of statuses (`2XX`) or `default`; the most exact one holds. */
  readonly schemas: Readonly<Record<string, BlobId>>;
  /** The one media type that is looked into. */
  readonly contentType: string;
  /** Of one answer; it is held whole, and a longer one, or an event stream, is refused. */
  readonly bytesMax: number;
  /** A longer one is passed on unread where nothing of it is taken out or decides. Absent: it is refused. */
  readonly long?: "pass";
  /** One that does not match its schema is recorded and passes. Absent: it is refused. */
  readonly mismatch?: "report";
  /** JSONPaths (json-path.ts) of what no caller gets. */
  readonly redact: readonly string[];
  /** Members that no schema declares. */
  readonly undeclared: "keep" | "drop";
  /** What all schemas together label; the first is the whole answer. Absent: there is none. */
  readonly labels?: readonly LabelNode[];
}

/** Something in the JSON of a successful answer that means the provider said no. */
export interface BusinessErrorSign {
  /** JSONPath (json-path.ts). */
  readonly path: string;
  /** Holds where the path selects one of these; absent: where it selects anything but null and false. */
  readonly is?: readonly Scalar[];
}
