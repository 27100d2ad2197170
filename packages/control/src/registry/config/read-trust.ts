// Promises a trust bundle with its CA certificates and revocation lists, as one environment sees it. Trusts attachments.ts to read PEM.
import { readRoots } from "./attachments.ts";
import type { TrustConfig } from "./estate.ts";
import type { EstateIo } from "./estate-io.ts";
import { trustSchema } from "./estate-schema.ts";
import { type Finding, placeOf } from "./finding.ts";
import { readRevocation } from "./read-revocation.ts";
import { shape } from "./shape.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

export interface TrustReading {
  readonly trust: TrustConfig | null;
  readonly findings: readonly Finding[];
}

export function readTrust(io: EstateIo, tree: MapTree): TrustReading {
  const shaped = shape(trustSchema, tree);
  if (shaped.value === null) return { trust: null, findings: shaped.findings };
  const read = shaped.value.roots.map((named, index) => readRoots(io, spotOf(tree, ["roots", index]), named));
  const roots = [...new Set(read.flatMap((attachment) => attachment.value))].sort();
  const { trust: name, revocation: said } = shaped.value;
  const revocation = said === undefined ? null : readRevocation(io, tree, { revocation: said, roots });
  const findings = [...read.flatMap((attachment) => attachment.findings), ...(revocation?.findings ?? [])];
  if (findings.length > 0) return { trust: null, findings };
  const lists = revocation === null ? {} : { revocation: revocation.value };
  return { trust: { name, roots, ...lists, declaredAt: placeOf(spotOf(tree, ["trust"], "key")) }, findings };
}
