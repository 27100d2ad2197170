// Promises the issuers outside whose access tokens this snapshot believes, each found by the whole of its `iss`, with its keys ready to verify.
// Trusts the snapshot's signature. Specified in docs/identity/outside-access-tokens.md.
import { createHash } from "node:crypto";
import { importOutsideKeys } from "@sallyport/kernel/outside-keys.ts";
import type { OutsideIssuerObject } from "@sallyport/protocol/snapshot/objects.ts";
import { outsideAccessKinds } from "@sallyport/protocol/token/outside-access-token.ts";
import type { OutsideKeys } from "@sallyport/protocol/token/outside-token.ts";

export interface OutsideIssuers {
  /** By `iss`. */
  readonly byUrl: ReadonlyMap<string, { readonly issuer: OutsideIssuerObject; readonly keys: OutsideKeys }>;
  /** By provider: the issuer that is asked about opaque tokens presented for it. */
  readonly askedFor: ReadonlyMap<string, OutsideIssuerObject>;
  /** Names every rule and key of every one of them: what was verified under another one is verified anew. */
  readonly fingerprint: string;
}

/** null: none is believed. `own` is the environment's issuer, which nobody else can be; `blobs` are the ids of the objects. */
export function compileOutsideIssuers(
  issuers: readonly OutsideIssuerObject[],
  { own, blobs }: { readonly own: string; readonly blobs: readonly string[] },
): OutsideIssuers | null {
  const believed = issuers.filter(({ url, kind }) => url !== own && outsideAccessKinds.includes(kind));
  if (believed.length === 0) return null;
  return {
    askedFor: askedFor(believed),
    byUrl: new Map(believed.map((issuer) => [issuer.url, { issuer, keys: importOutsideKeys(issuer.keys) }])),
    fingerprint: createHash("sha256").update(blobs.join("\n")).digest("base64url"),
  };
}

/** Control lets no provider be named by two; here one that is has nobody, because a token must not be shown to an issuer it may not be of. */
function askedFor(issuers: readonly OutsideIssuerObject[]): ReadonlyMap<string, OutsideIssuerObject> {
  const named = issuers.flatMap((issuer) =>
    (issuer.introspection?.providers ?? []).map((provider) => ({ provider, issuer })),
  );
  const only = [...Map.groupBy(named, ({ provider }) => provider)].flatMap(([provider, [first, second]]) =>
    first !== undefined && second === undefined ? [[provider, first.issuer] as const] : [],
  );
  return new Map(only);
}
