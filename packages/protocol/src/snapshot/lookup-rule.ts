// Promises the shape in which control tells a gateway where attributes of a resource are looked up. Trusts the manifest's signature.
// Specified in docs/formats/snapshot.md "Lookups" and docs/attributes.md.
import type { AttributeSource } from "./objects.ts";

/** One read of another system, asked by the gateway itself before policies are. */
export interface LookupRule {
  /** A system of this snapshot. */
  readonly system: string;
  /** One of its operations: a read, with GET. */
  readonly operation: string;
  /** Where the request has each parameter of that operation's path. */
  readonly with: Readonly<Record<string, AttributeSource>>;
  /** Of one question, its connection included. */
  readonly timeoutMs: number;
  /** How long what was answered may serve others; 0: not at all. */
  readonly keepMs: number;
  /** How long it may be known that nothing is there. */
  readonly missMs: number;
}
