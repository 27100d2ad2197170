// Promises values that exist nowhere else, planted where secrets, people's data and callers' own words cross, to be searched for at the end.
// Trusts the system's randomness.
import { createPrivateKey, randomBytes } from "node:crypto";
import type { Exception, Marker } from "./canary.ts";

/** A P-256 key in PKCS#8 has this much of its number before the first line of the PEM ends. */
const keyPartBytes = 12;

export class Planted {
  readonly markers: Marker[] = [];
  readonly exceptions: Exception[] = [];
  readonly crossed: { readonly what: string; readonly value: string }[] = [];

  /** A fresh value, remembered. `prefix` makes it look like what it stands for. */
  value(what: string, prefix = ""): string {
    return this.remember(what, `${prefix}q${randomBytes(9).toString("hex")}`);
  }

  /** A fresh value that a provider must receive: found there, it proves that the search looks for what really crossed. */
  crossing(what: string, prefix = ""): string {
    const value = this.value(what, prefix);
    this.crossed.push({ what, value });
    return value;
  }

  /** What a provider saw that is gone by the time of the search. */
  seenElsewhere = "";

  /** A value that was made elsewhere: a token, a join token. */
  remember(what: string, value: string): string {
    this.markers.push({ what, value });
    return value;
  }

  /** The beginning of a private key's secret number, which a PEM writes on its first line; only whoever holds the key may have it. */
  privateKey(what: string, key: string | Readonly<Record<string, unknown>>): void {
    const jwk = typeof key === "string" ? createPrivateKey(key).export({ format: "jwk" }) : key;
    const secret = Buffer.from(String(jwk["d"]), "base64url").subarray(0, keyPartBytes);
    this.markers.push({ what, value: secret });
  }

  /** A token; the signature is what makes it one, header and claims may repeat elsewhere. */
  token(what: string, token: string): void {
    this.remember(what, token.slice(token.lastIndexOf(".") + 1));
  }

  /** Says where a value must stand by design, and why. */
  except(exception: Exception): void {
    this.exceptions.push(exception);
  }
}
