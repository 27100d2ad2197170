// Promises whose signatures count: every key of the snapshot under its name, with the system it speaks for. Trusts control that names are unique; of two keys
// of one name neither counts. Specified in docs/identity/message-signatures.md.
import { importSignatureKey } from "@sallyport/kernel/signature-keys.ts";
import type { SignatureVerifyKey } from "@sallyport/protocol/signature/message-signature.ts";
import type { SignaturesObject } from "@sallyport/protocol/signature/signature-key.ts";
import type { CompiledSystem } from "./estate.ts";

export interface SignatureOwner {
  readonly system: CompiledSystem;
  readonly key: SignatureVerifyKey;
  readonly rule: SignaturesObject;
}

/** By `keyid`. */
export type SignatureOwners = ReadonlyMap<string, SignatureOwner>;

/** Null: nobody signs. */
export function compileSignatureOwners(systems: readonly CompiledSystem[]): SignatureOwners | null {
  const owners = new Map<string, SignatureOwner>();
  const twice = new Set<string>();
  for (const system of systems) {
    const { signatures: rule } = system.object;
    for (const one of rule?.keys ?? []) {
      const key = importSignatureKey(one);
      if (owners.has(one.keyid)) twice.add(one.keyid);
      if (rule !== undefined && key !== null) owners.set(one.keyid, { system, key, rule });
    }
  }
  for (const keyid of twice) owners.delete(keyid);
  return owners.size === 0 ? null : owners;
}
