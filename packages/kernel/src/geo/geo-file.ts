// Promises the country of an address, and its coordinates where the file has them, or null: a file that is broken at one place knows nothing there.
// Trusts the operator for the file and mmdb-lib, which only this file imports, for its tree. Format: MaxMind DB 2.0; docs/policy-signals.md "Place".
import { isIP } from "node:net";
import { Reader } from "mmdb-lib";

export interface Place {
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
  /** Null: the file has countries alone. */
  readonly point: { readonly latitude: number; readonly longitude: number; readonly radiusKm: number } | null;
}

export interface GeoFile {
  /** Null: not in the file, or not an address. */
  find(address: string): Place | null;
}

const countryForm = /^[A-Z]{2}$/;
/** Where the file does not say how sure it is. */
const radiusKmDefault = 500;

/** Throws an Error that says what is wrong when the bytes are no MaxMind DB. */
export function openGeoFile(bytes: Buffer): GeoFile {
  const reader = new Reader(bytes);
  const { ipVersion, searchTreeSize } = reader.metadata;
  if ((ipVersion !== 4 && ipVersion !== 6) || searchTreeSize >= bytes.length)
    throw new Error("its description does not fit its length");
  return {
    find(address) {
      const family = isIP(address);
      // A tree of IPv4 addresses would take the first 32 bits of an IPv6 address for one.
      if (family === 0 || (family === 6 && ipVersion === 4) || address.includes("%")) return null;
      try {
        return placeOf(reader.get(address));
      } catch {
        // A pointer that leads out of the file, or in a circle.
        return null;
      }
    },
  };
}

/** Records are whatever the file holds; what is not of the form is not there. */
function placeOf(record: unknown): Place | null {
  const country =
    member(member(record, "country"), "iso_code") ?? member(member(record, "registered_country"), "iso_code");
  if (typeof country !== "string" || !countryForm.test(country)) return null;
  const location = member(record, "location");
  const latitude = within(member(location, "latitude"), 90);
  const longitude = within(member(location, "longitude"), 180);
  const radius = within(member(location, "accuracy_radius"), 20_000);
  const point =
    latitude === null || longitude === null
      ? null
      : { latitude, longitude, radiusKm: Math.max(0, radius ?? radiusKmDefault) };
  return { country, point };
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}

function within(value: unknown, max: number): number | null {
  return typeof value === "number" && Math.abs(value) <= max ? value : null;
}
