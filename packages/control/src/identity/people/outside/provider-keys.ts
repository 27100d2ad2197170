// Promises the keys that a provider outside signs with now, fetched by nobody but this: for ten minutes, and for a name that is not among them at most
// every half minute, whatever strangers send. Trusts the fetch it is given. docs/identity/outside-login.md "When it ends there".
import { importOutsideKeys } from "@sallyport/kernel/outside-keys.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { outsideAlgorithms, readOutsideKeys } from "@sallyport/protocol/token/outside-jwk.ts";
import type { OutsideKeys } from "@sallyport/protocol/token/outside-token.ts";

const believedMs = 600_000;
const tryMs = 30_000;

/** Keys among which `kid` is, if the provider has it. Rejects when there is no key set to be had. */
export type ProviderKeys = (jwksUri: string, kid: string) => Promise<OutsideKeys>;

interface Held {
  readonly jwksUri: string;
  readonly at: number;
  readonly keys: Promise<ReadonlyMap<string, ReturnType<OutsideKeys["get"]> & object>>;
}

export function createProviderKeys(
  fetchKeys: (jwksUri: string) => Promise<Uint8Array>,
  clock: Pick<Clock, "now">,
): ProviderKeys {
  let held: Held | null = null;
  return async (jwksUri, kid) => {
    const now = clock.now();
    const age = held === null || held.jwksUri !== jwksUri ? Number.POSITIVE_INFINITY : now - held.at;
    if (held !== null && age < tryMs) return held.keys;
    if (held !== null && age < believedMs && (await held.keys.catch(() => null))?.has(kid) === true) return held.keys;
    held = { jwksUri, at: now, keys: fetchKeys(jwksUri).then(keysIn) };
    return held.keys;
  };
}

function keysIn(bytes: Uint8Array) {
  const set = readOutsideKeys(bytes, outsideAlgorithms, { sha256 });
  if (set === null) throw new Error("the provider's key set is none");
  return importOutsideKeys(set.keys);
}
