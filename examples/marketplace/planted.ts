// Promises values that exist nowhere else, planted where secrets, people's data and callers' own words cross, to be searched for at the end.
// Trusts the system's randomness.
import { randomBytes } from "node:crypto";
import type { Exception, Marker } from "./canary.ts";

export class Planted {
  readonly markers: Marker[] = [];
  readonly exceptions: Exception[] = [];

  /** A fresh value, remembered. `prefix` makes it look like what it stands for. */
  value(what: string, prefix = ""): string {
    return this.remember(what, `${prefix}q${randomBytes(9).toString("hex")}`);
  }

  /** A value that was made elsewhere: a token, a private key. */
  remember(what: string, value: string): string {
    this.markers.push({ what, value });
    return value;
  }

  /** Says where a value must stand by design, and why. */
  except(exception: Exception): void {
    this.exceptions.push(exception);
  }
}
