// Promises a trust bundle with its CA certificates, as one environment sees it. Trusts attachments.ts to read PEM.
import { readRoots } from "./attachments.ts";
import type { TrustConfig } from "./estate.ts";
import type { EstateIo } from "./estate-io.ts";
import { trustSchema } from "./estate-schema.ts";
import { type Finding, placeOf } from "./finding.ts";
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
  const findings = read.flatMap((attachment) => attachment.findings);
  if (findings.length > 0) return { trust: null, findings };
  const roots = [...new Set(read.flatMap((attachment) => attachment.value))].sort();
  return { trust: { name: shaped.value.trust, roots, declaredAt: placeOf(spotOf(tree, ["trust"], "key")) }, findings };
}
