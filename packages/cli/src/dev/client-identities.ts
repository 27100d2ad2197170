// Promises a key pair for every declared client that has none, so that an estate can be tried before any key was handed over. Only `dev` calls
// this, on an estate it has loaded itself: nothing of it is written into the estate, and `serve` refuses dev's data. Specified in docs/cli/dev.md.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { EnvironmentConfig, LoadedEstate, PublicJwk } from "@sallyport/control/registry/config/estate.ts";
import { clientWithoutKey } from "@sallyport/control/registry/config/warn-no-identity.ts";
import { readPrivateFile, writePrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { generateClientKey, publicJwks, signerFromPem } from "@sallyport/sdk/node-crypto.ts";
import { systemRandom } from "../roles/system-ports.ts";

const pemBytesMax = 4096;
/** As the loader lets a client be called; it becomes part of a path. */
const clientId = /^[a-z][a-z0-9-]{0,126}$/;

export interface TestIdentity {
  readonly client: string;
  readonly system: string;
  readonly keyFile: string;
}

/** The estate with test keys for clients without keys. Keys are made once and kept. Throws SealFault when a key file is not its owner's alone. */
export function withTestIdentities(
  loaded: LoadedEstate,
  dataDirectory: string,
): { readonly loaded: LoadedEstate; readonly identities: readonly TestIdentity[] } {
  const identities = new Map<string, TestIdentity>();
  const directory = join(dataDirectory, "clients");
  const keysOf = (system: string, client: string): readonly PublicJwk[] => {
    const keyFile = join(directory, `${client}.key.pem`);
    identities.set(client, { client, system, keyFile });
    return publicJwks([signerFromPem(testKey(directory, keyFile))]).keys;
  };
  const environments = loaded.estate.environments.map(
    (environment): EnvironmentConfig => ({
      ...environment,
      systems: environment.systems.map((system) => ({
        ...system,
        clients: system.clients.map((client) =>
          client.keys.length > 0 || !clientId.test(client.id)
            ? client
            : { ...client, keys: keysOf(system.id, client.id) },
        ),
      })),
    }),
  );
  return {
    loaded: {
      ...loaded,
      estate: { ...loaded.estate, environments },
      // Here every client has a key.
      findings: loaded.findings.filter(({ message }) => message !== clientWithoutKey),
    },
    identities: [...identities.values()].sort((a, b) => (a.client < b.client ? -1 : 1)),
  };
}

function testKey(directory: string, keyFile: string): string {
  const kept = readPrivateFile(keyFile, pemBytesMax);
  if (kept !== null) return new TextDecoder().decode(kept);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { pem } = generateClientKey();
  writePrivateFile(keyFile, Buffer.from(pem), systemRandom);
  return pem;
}
