// Promises that what is named on the command line of `serve` is read before anything is made, and only by the role it is for: a gateway loads no code of the
// control plane. Trusts each reader for its own. Specified in docs/cli/serve.md.
import type { ArchiveStoreConfig } from "@sallyport/control/audit/keeping/store-file.ts";
import type { GeoSource } from "@sallyport/kernel/geo/geo-source.ts";
import type { ForwardingField, TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import type { ServeOptions } from "./serve.ts";

export interface FirstOptions {
  readonly role: ServeOptions["role"];
  readonly archiveStore?: string;
  readonly geoFile?: string;
  readonly identityProxies?: readonly string[];
  readonly identityProxyHeader: ForwardingField;
  readonly upstreamKeys?: string;
}

/** Throws CommandEnd (bad use) for what cannot be used, or is for another role. */
export async function readNamedFirst(
  raw: FirstOptions,
): Promise<Pick<ServeOptions, "archiveStore" | "geo" | "identityProxies" | "upstreamKeys">> {
  const geo = await openGeo(raw);
  const identityProxies = await readProxies(raw);
  const { checkUpstreamKeys } = await import("../roles/upstream-keys.ts");
  const upstreamKeys = await checkUpstreamKeys(raw.role, raw.upstreamKeys);
  return { archiveStore: await readArchiveStore(raw), geo, identityProxies, upstreamKeys };
}

async function openGeo({ geoFile }: FirstOptions): Promise<GeoSource | null> {
  if (geoFile === undefined) return null;
  const { readGeoFile } = await import("../roles/geo.ts");
  return readGeoFile(geoFile);
}

/** Only where there is an identity listener. */
async function readProxies(raw: FirstOptions): Promise<TrustedProxies | null> {
  if (raw.identityProxies === undefined) return null;
  if (raw.role === "gateway")
    throw new CommandEnd(
      exitCode.badUse,
      "--identity-proxies is for the identity listener, which this role has not",
      "give it to control, or use --role all",
    );
  const { ProxyNetworkFault, trustedProxies } = await import("@sallyport/kernel/trusted-proxies.ts");
  try {
    return trustedProxies(raw.identityProxies, raw.identityProxyHeader);
  } catch (error) {
    if (!(error instanceof ProxyNetworkFault)) throw error;
    throw new CommandEnd(exitCode.badUse, `--identity-proxies: ${error.message}`, error.fix);
  }
}

/** Only where there is a control plane. */
async function readArchiveStore({ role, archiveStore }: FirstOptions): Promise<ArchiveStoreConfig | null> {
  if (archiveStore === undefined) return null;
  if (role === "gateway")
    throw new CommandEnd(
      exitCode.badUse,
      "--archive-store is for control, which archives the logs of its gateways",
      "give it to control, or use --role all",
    );
  const { openStoreFile } = await import("../archive-store.ts");
  return openStoreFile(archiveStore);
}
