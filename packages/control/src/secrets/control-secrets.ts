// Promises control's own secrets (CA keys, snapshot keys, nonce secrets): made once, sealed at rest, the same for every control node of a store.
// Trusts the KEK file. Specified in docs/formats/seal.md.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { type Keyring, openKeyringFile } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { SecretCommands } from "./store.ts";

const purpose = "control-secret";
/** Two nodes that make one secret at once: the loser reads the winner's. */
const attemptsMax = 3;

export interface ControlSecrets {
  readonly keyring: Keyring;
  /** The secret of this name, made by `make` at its first use. Faults: SealFault when it does not open. */
  secret(tenant: string, name: string, make: () => Uint8Array): Promise<Uint8Array>;
}

/** Opens the keys of a store. Faults: SealFault `kek-missing`, `kek-wrong` and those of the key file, each with the fix. */
export async function openControlSecrets(options: {
  readonly store: Pick<Store<SecretCommands>, "run">;
  readonly kekFile: string;
  readonly clock: Clock;
  readonly random: Random;
}): Promise<ControlSecrets> {
  const { store, clock, random } = options;
  const keyring = await openKeyringFile(options.kekFile, {
    storage: { list: () => store.run("listWrappedKeys", null), insert: (key) => store.run("insertWrappedKey", key) },
    random,
    clock,
  });
  return {
    keyring,
    secret: async (tenant, name, make) => {
      const ring = await keyring.ring(tenant, purpose);
      for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
        const stored = await store.run("readSealed", { tenant, name });
        if (stored !== null) return await ring.open({ name }, stored);
        const fresh = make();
        const envelope = ring.seal({ name }, fresh);
        if (await store.run("insertSealed", { tenant, name, envelope })) return fresh;
      }
      throw new Error(`the secret ${name} could be neither read nor written`);
    },
  };
}
