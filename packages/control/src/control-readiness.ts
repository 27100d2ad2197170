// Promises what a control plane still lacks to serve, as sentences with the fix. Trusts its parts. Specified in docs/control.md.
import type { AdminLog } from "./audit/admin-log.ts";
import type { ControlReadiness } from "./control-parts.ts";
import type { InForce } from "./in-force.ts";

export async function controlReadiness(
  inForce: Pick<InForce, "identities">,
  adminLog: Pick<AdminLog, "hold">,
): Promise<ControlReadiness> {
  const missing: string[] = [];
  const held = await adminLog.hold().catch(() => "the control store does not answer");
  if (held !== null) missing.push(held);
  if (inForce.identities.size === 0)
    missing.push("no estate was applied yet: sallyport apply <directory>, or serve --config <directory>");
  for (const [name, identity] of inForce.identities) {
    if (identity.ring.view().signer === null)
      missing.push(`${name}: no signing key is in use yet; it waits for gateways to acknowledge it`);
  }
  return { ready: missing.length === 0, missing };
}
