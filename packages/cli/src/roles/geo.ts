// Promises the gateway's file of places open before anything else is touched, or a refusal to start that says what to do.
// Trusts gateway/authorize/geo-file.ts to read it. The reader is loaded only where a file is named. docs/policy-signals.md "Place".
import { readFileSync, statSync } from "node:fs";
import type { GeoFile } from "@sallyport/gateway/authorize/geo-file.ts";
import { CommandEnd, exitCode } from "../exit.ts";

const bytesMax = 1024 ** 3;

/** Throws CommandEnd (bad use) for a file that cannot be read, is too large, or is no MaxMind DB. */
export async function readGeoFile(path: string): Promise<GeoFile> {
  const { openGeoFile } = await import("@sallyport/gateway/authorize/geo-file.ts");
  try {
    if (statSync(path).size > bytesMax) throw new Error(`it is larger than ${bytesMax} bytes`);
    return openGeoFile(readFileSync(path));
  } catch (error) {
    throw new CommandEnd(
      exitCode.badUse,
      `--geo-file ${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      "name a MaxMind DB (.mmdb) with countries, for example GeoLite2-Country or DB-IP Country Lite; or leave the option out: policies then find no country",
    );
  }
}
