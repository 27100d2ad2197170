// Promises the gateway's file of places open before anything else is touched, or a refusal to start that says what to do.
// Trusts kernel/geo/geo-source.ts to read it. The reader is loaded only where a file is named. docs/policy-signals.md "Place".
import type { GeoSource } from "@sallyport/kernel/geo/geo-source.ts";
import { CommandEnd, exitCode } from "../exit.ts";

/** Throws CommandEnd (bad use) for a file that cannot be read, is too large, or is no MaxMind DB. */
export async function readGeoFile(path: string): Promise<GeoSource> {
  const { GeoSource } = await import("@sallyport/kernel/geo/geo-source.ts");
  try {
    return new GeoSource(path);
  } catch (error) {
    throw new CommandEnd(
      exitCode.badUse,
      `--geo-file ${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      "name a MaxMind DB (.mmdb) with countries, for example GeoLite2-Country or DB-IP Country Lite; or leave the option out: policies then find no country",
    );
  }
}
