// Promises the list of what is measured: each variant of the gateway has its opponent beside it in the same round.
// Trusts the ports it is told. Each is specified in RESULTS.md.
import type { BarePorts, Target } from "./roles.ts";

export const variantNames = [
  "bare_get",
  "gateway_get",
  "bare_verify",
  "gateway_cold",
  "gateway_dpop",
  "bare_post",
  "gateway_post",
  "haproxy_jwt",
] as const;
export type VariantName = (typeof variantNames)[number];
/** Measured only where HAProxy is installed. */
export type OptionalVariant = "haproxy_jwt";

export interface Variant {
  readonly name: VariantName;
  readonly side: "bare" | "gateway" | "haproxy";
  readonly target: Target;
}

export function createVariants(at: {
  readonly bare: BarePorts;
  readonly gateway: number;
  readonly haproxy?: number;
}): readonly Variant[] {
  const { plain, verifying } = at.bare;
  const get = { method: "GET", credential: "cached-bearer" } as const;
  const post = { method: "POST", credential: "cached-bearer" } as const;
  return [
    { name: "bare_get", side: "bare", target: { ...get, port: plain } },
    { name: "gateway_get", side: "gateway", target: { ...get, port: at.gateway } },
    { name: "bare_verify", side: "bare", target: { ...get, port: verifying } },
    { name: "gateway_cold", side: "gateway", target: { ...get, credential: "fresh-bearer", port: at.gateway } },
    { name: "gateway_dpop", side: "gateway", target: { ...get, credential: "fresh-dpop", port: at.gateway } },
    { name: "bare_post", side: "bare", target: { ...post, port: plain } },
    { name: "gateway_post", side: "gateway", target: { ...post, port: at.gateway } },
    ...(at.haproxy === undefined
      ? []
      : [{ name: "haproxy_jwt", side: "haproxy", target: { ...get, port: at.haproxy } } as const]),
  ];
}
