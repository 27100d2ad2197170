// Promises that every group has the newest signed snapshot of what is in force, versions only up, nothing published twice.
// Trusts the compiler, the group's signing key and the store's compare-and-set. Specified in docs/formats/snapshot.md.

import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { type SignedManifest, signManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import type { BrokenObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";
import type { ControlCommands } from "../commands.ts";
import type { StoredApiKey } from "../identity/api-keys/store.ts";
import type { EnvironmentInForce } from "../registry/estate-state.ts";
import type { Group } from "../registry/gateway-commands.ts";
import { compileSnapshot } from "../snapshot/compile-snapshot.ts";

export interface PublisherPorts {
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly compiler: SliceCompiler;
  readonly now: () => number;
  readonly lifetimeMs: number;
  readonly signer: (group: Group) => Promise<TokenSigner>;
  readonly issuer: (environment: string) => string;
  /** Public keys that are believed now, of an issuer outside by id. */
  readonly issuerKeys: (environment: string, issuer: string) => readonly OutsideJwk[];
  /** Of an environment, also what has ended. */
  readonly apiKeys: (environment: string) => readonly StoredApiKey[];
  /** Milliseconds since the epoch at which control was restored last; undefined: never. */
  readonly restoredAt: () => number | undefined;
  readonly sequences: (environment: string) => { readonly keySeq: number; readonly revocationSeq: number };
  /** A new snapshot is durable: push it. */
  readonly published: (group: Group, signed: SignedManifest) => void;
}

export interface PublishedState {
  readonly epoch: number;
  readonly version: number;
  readonly expiresAt: number;
  readonly broken: readonly BrokenObject[];
  /** Fingerprint of the objects, to see whether anything changed. */
  readonly objects: string;
}

/** Two control nodes that publish at once: the loser compiles again. */
const attemptsMax = 8;

export class Publisher {
  readonly #ports: PublisherPorts;
  readonly #state = new Map<string, PublishedState>();

  constructor(ports: PublisherPorts) {
    this.#ports = ports;
  }

  state(group: string): PublishedState | null {
    return this.#state.get(group) ?? null;
  }

  /** Compiles a group and publishes when anything changed, the epoch rose, or half of the snapshot's life is over. */
  async publish(group: Group, inForce: EnvironmentInForce): Promise<void> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const current = (await this.#ports.store.run("getGroup", { tenant: group.tenant, id: group.id })) ?? group;
      const compiled = this.#compile(current, inForce);
      const objects = JSON.stringify(compiled.manifest.objects);
      const last = this.#state.get(group.id);
      const isFresh = last !== undefined && last.expiresAt - this.#ports.now() > this.#ports.lifetimeMs / 2;
      if (isFresh && last.objects === objects && last.epoch === current.epoch && last.version === current.version)
        return;
      const signed = signManifest(compiled.manifest, await this.#ports.signer(current));
      const { epoch, version, expiresAt } = compiled.manifest;
      const outcome = await this.#ports.store.run("publishSnapshot", {
        tenant: group.tenant,
        group: group.id,
        epoch,
        version,
        signed,
        expiresAt,
        blobs: [...compiled.blobs].map(([id, bytes]) => ({ id, bytes })),
        actor: "built-in",
      });
      if (outcome.kind === "published") {
        this.#state.set(group.id, { epoch, version, expiresAt, broken: compiled.broken, objects });
        this.#ports.published(current, signed);
        return;
      }
      if (outcome.kind !== "conflict") throw new Error(`group ${group.id} could not be published: ${outcome.kind}`);
    }
    throw new Error(`group ${group.id} could not be published: other control nodes were always first`);
  }

  #compile(group: Group, { config, states }: EnvironmentInForce): ReturnType<typeof compileSnapshot> {
    const { keySeq, revocationSeq } = this.#ports.sequences(config.name);
    return compileSnapshot(
      {
        environment: config,
        states,
        tenant: group.tenant,
        region: group.region,
        group: group.id,
        issuer: this.#ports.issuer(config.name),
        restoredAt: this.#ports.restoredAt(),
        apiKeys: this.#ports.apiKeys(config.name),
        issuerKeys: (issuer) => this.#ports.issuerKeys(config.name, issuer),
        epoch: group.epoch,
        version: group.version + 1,
        now: this.#ports.now(),
        lifetimeMs: this.#ports.lifetimeMs,
        minKeySeq: keySeq,
        minRevocationSeq: revocationSeq,
      },
      this.#ports.compiler,
    );
  }
}
