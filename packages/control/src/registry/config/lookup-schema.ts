// Promises the keys by which an operation says where attributes of its resource are looked up. Trusts nothing. What they do: docs/attributes.md.
import { z } from "zod";
import { attributeFrom, duration, fullOperationName, id } from "./words.ts";

export const lookupsMax = 8;

const lookup = z.strictObject({
  operation: fullOperationName().describe(
    "The read that is asked, `<system>:<operation>`: one with GET, of any system of the estate.",
  ),
  with: z
    .record(z.string().regex(/^[A-Za-z_]\w*$/), attributeFrom())
    .prefault({})
    .describe(
      "Where the request has each parameter of that operation's path: `path:<name>`, `query:<name>`, `header:<name>` or `body:$.member`.",
    ),
  timeout: duration({ minMs: 10, maxMs: 10_000, says: "`10ms` to `10s`" })
    .prefault("500ms")
    .describe("How long it may take; a crossing that waits longer is denied."),
  keep: duration({ minMs: 0, maxMs: 600_000, says: "`0ms` to `10m`" })
    .prefault("10s")
    .describe("How long an answer may serve other crossings; `0ms` asks each time."),
  keepMissing: duration({ minMs: 0, maxMs: 60_000, says: "`0ms` to `1m`" })
    .prefault("1s")
    .describe("How long it is known that nothing is there (404, 410)."),
});

export const lookups = () =>
  z
    .record(id(), lookup)
    .prefault({})
    .describe(
      "Reads of other systems that attributes come from, as `lookup:<name>:$.member`; the gateway asks them itself before policies are asked.",
    );

export type LookupSource = z.output<typeof lookup>;
