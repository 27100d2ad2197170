// Promises a key ring with one signing key that every live gateway can verify, private halves sealed at rest, changes sequenced and compare-and-set.
// Trusts the store, the sealer and what gateways acknowledged. Life cycle: decide-ring.ts, docs/identity.md; kid: RFC 7638.

import { generateLegacySigner, legacySignerFromPem } from "@sallyport/kernel/legacy-keys.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { generateSigner, signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import type { LegacyRingKey, RingKey } from "@sallyport/protocol/channel/messages.ts";
import type { LegacyAlgorithm, SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { AccessTokenSigner, TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { isLegacyAlgorithm } from "@sallyport/protocol/token/jws.ts";
import { decideRing, type RingAlgorithm, type RingEvent, type RingPlan } from "./decide-ring.ts";
import type { RingView } from "./issuer.ts";
import { tokenEndMs } from "./revoke.ts";
import type { IdentityCommands, RingWrite, StoredKey, StoredRing } from "./store.ts";

/** Purpose under which private halves are sealed; the context binds a row to its ring and key, so a row moved elsewhere does not open. */
export const sealPurpose = "token-key";

export interface KeyRingOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<IdentityCommands>, "run">;
  readonly keyring: Pick<Keyring, "seal" | "open">;
  readonly clock: Clock;
  /** Asked at every change, as is `rotateEveryMs`: the estate may say otherwise by then. */
  readonly alg: () => SigningAlgorithm;
  /** What some audience wants besides; absent: none does. */
  readonly legacy?: () => readonly LegacyAlgorithm[];
  /** Lowest ring sequence any live gateway of this environment has acknowledged; Infinity when none lives. */
  readonly acknowledgedKeySeq: () => number;
  /** Infinity: only on command. */
  readonly rotateEveryMs: () => number;
  /** Called after every change this process made or saw: push it to the gateways. */
  readonly onChange: (view: RingView) => void;
}

export type RingOutcome = { readonly kind: "done"; readonly seq: number } | Extract<RingPlan, { kind: "refused" }>;

export interface KeyRing {
  view(): RingView;
  /** Takes up what other control nodes wrote. */
  refresh(): Promise<void>;
  /** Whatever is due: first key, promotion after acknowledgement, rotation by age, end of retiring keys. Call about once a second. */
  tick(): Promise<RingOutcome>;
  rotate(actor: string): Promise<RingOutcome>;
  /** Emergency: the key is out of the ring and revoked in one transaction. */
  kill(kid: string, actor: string, reason?: string): Promise<RingOutcome>;
}

/** Two nodes that plan at once: the loser plans again on what the winner wrote. */
const attemptsMax = 8;

/** The ring could not be read, sealed or written; no key is used that is not known to be stored. */
export class RingFault extends Error {
  override readonly name = "RingFault";
  readonly code: "ring-busy" | "ring-key-unreadable";
  readonly public = "The key ring is not available right now.";
  constructor(code: RingFault["code"], internal: string, options?: ErrorOptions) {
    super(`${code}: ${internal}`, options);
    this.code = code;
  }
}

/** Reads the ring and brings it in order as far as acknowledgements allow. */
export async function openKeyRing(options: KeyRingOptions): Promise<KeyRing> {
  const ring = new StoredKeyRing(options);
  await ring.refresh();
  await ring.tick();
  // The first key of a ring is created by one tick and, with no gateway to wait for, promoted by the next.
  await ring.tick();
  return ring;
}

class StoredKeyRing implements KeyRing {
  readonly #options: KeyRingOptions;
  readonly #signers = new Map<string, TokenSigner>();
  readonly #legacySigners = new Map<string, AccessTokenSigner>();
  #view: RingView = { seq: 0, keys: [], signer: null, legacy: noLegacy };

  constructor(options: KeyRingOptions) {
    this.#options = options;
  }

  view(): RingView {
    return this.#view;
  }

  async refresh(): Promise<void> {
    await this.#take(await this.#read());
  }

  tick(): Promise<RingOutcome> {
    return this.#run({ kind: "tick" }, { actor: "built-in" });
  }

  rotate(actor: string): Promise<RingOutcome> {
    return this.#run({ kind: "rotate" }, { actor, action: "key.rotate" });
  }

  kill(kid: string, actor: string, reason?: string): Promise<RingOutcome> {
    const by = { actor, action: "key.kill" } as const;
    return this.#run({ kind: "kill", kid }, reason === undefined ? by : { ...by, reason });
  }

  async #run(event: RingEvent, by: Pick<RingWrite, "actor" | "action" | "reason">): Promise<RingOutcome> {
    const { clock, acknowledgedKeySeq, rotateEveryMs, store } = this.#options;
    const alg = this.#options.alg();
    const legacy = this.#options.legacy?.() ?? [];
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const stored = await this.#read();
      const now = clock.now();
      const plan = decideRing(stored.keys, event, {
        now,
        acknowledgedSeq: acknowledgedKeySeq(),
        retireAfterMs: tokenEndMs,
        rotateEveryMs: rotateEveryMs(),
        alg,
        legacy,
      });
      if (plan.kind === "refused" || plan.steps.length === 0) {
        await this.#take(stored);
        return plan.kind === "refused" ? plan : { kind: "done", seq: stored.seq };
      }
      const written = await store.run("writeKeyRing", await this.#writeOf(plan, stored.seq, { ...by, now }));
      if (written.kind === "written") {
        await this.refresh();
        return { kind: "done", seq: written.seq };
      }
    }
    throw new RingFault(
      "ring-busy",
      `${attemptsMax} attempts to change the ring of ${this.#place().join("/")} met other writers; try again`,
    );
  }

  #place(): [string, string] {
    return [this.#options.tenant, this.#options.environment];
  }

  #read(): Promise<StoredRing> {
    const { store, tenant, environment } = this.#options;
    return store.run("readKeyRing", { tenant, environment });
  }

  async #writeOf(
    plan: Extract<RingPlan, { kind: "plan" }>,
    expectedSeq: number,
    by: Pick<RingWrite, "actor" | "action" | "reason"> & { readonly now: number },
  ): Promise<RingWrite> {
    const { tenant, environment } = this.#options;
    const write = {
      moved: [] as RingWrite["moved"][number][],
      revoked: [] as RingWrite["revoked"][number][],
      created: [] as RingWrite["created"][number][],
    };
    for (const step of plan.steps) {
      if (step.kind === "move") write.moved.push({ kid: step.kid, to: step.to, verifiableUntil: step.verifiableUntil });
      if (step.kind === "revoke")
        write.revoked.push({ kind: "kid", value: step.kid, notBefore: by.now, until: by.now + tokenEndMs });
      if (step.kind === "create-next") write.created.push(await this.#freshKey(step.alg));
    }
    const { now: _now, ...why } = by;
    return { tenant, environment, expectedSeq, ...why, ...write };
  }

  async #freshKey(alg: RingAlgorithm): Promise<RingWrite["created"][number]> {
    const { signer, pem } = isLegacyAlgorithm(alg) ? await generateLegacySigner(alg) : generateSigner(alg);
    const sealed = await this.#options.keyring.seal(sealPurpose, this.#context(signer.kid), Buffer.from(pem));
    return { kid: signer.kid, alg: signer.alg, jwk: { ...signer.jwk }, sealed };
  }

  #context(kid: string): Readonly<Record<string, string>> {
    return { tenant: this.#options.tenant, environment: this.#options.environment, kid };
  }

  async #take(stored: StoredRing): Promise<void> {
    const active = stored.keys.find((key) => key.state === "active" && !isLegacyAlgorithm(key.alg));
    const signer = active === undefined ? null : await this.#signerOf(active);
    const legacy = await this.#legacyOf(stored);
    for (const kid of this.#signers.keys()) if (kid !== active?.kid) this.#signers.delete(kid);
    // A slower read may end after a newer one: never go back.
    if (stored.seq < this.#view.seq || (stored.seq === this.#view.seq && this.#view.signer?.kid === signer?.kid))
      return;
    this.#view = { seq: stored.seq, keys: stored.keys.flatMap(ringKeyOf), signer, legacy };
    this.#options.onChange(this.#view);
  }

  async #legacyOf({ keys }: StoredRing): Promise<RingView["legacy"] & object> {
    const legacy = keys.flatMap(legacyKeyOf);
    if (legacy.length === 0 && this.#legacySigners.size === 0) return noLegacy;
    const signers = new Map<LegacyAlgorithm, AccessTokenSigner>();
    for (const key of keys) {
      if (key.state !== "active" || !isLegacyAlgorithm(key.alg)) continue;
      const known = this.#legacySigners.get(key.kid) ?? legacySignerFromPem(await this.#pemOf(key), key.alg);
      this.#legacySigners.set(key.kid, known);
      signers.set(key.alg, known);
    }
    const inUse = new Set([...signers.values()].map(({ kid }) => kid));
    for (const kid of this.#legacySigners.keys()) if (!inUse.has(kid)) this.#legacySigners.delete(kid);
    return { keys: legacy, signers };
  }

  async #signerOf(key: StoredKey): Promise<TokenSigner> {
    const known = this.#signers.get(key.kid);
    if (known !== undefined) return known;
    const signer = signerFromPem(await this.#pemOf(key));
    this.#signers.set(key.kid, signer);
    return signer;
  }

  async #pemOf(key: StoredKey): Promise<string> {
    if (key.sealed === null)
      throw new RingFault("ring-key-unreadable", `key ${key.kid} of ${this.#place().join("/")} has no private half`);
    const plain = await this.#options.keyring
      .open(sealPurpose, this.#context(key.kid), key.sealed)
      .catch((cause: unknown) => {
        throw new RingFault(
          "ring-key-unreadable",
          `key ${key.kid} of ${this.#place().join("/")} does not open: was the key-encryption key changed?`,
          { cause },
        );
      });
    return Buffer.from(plain).toString();
  }
}

const noLegacy = { keys: [], signers: new Map<LegacyAlgorithm, AccessTokenSigner>() };

function ringKeyOf({ kid, alg, jwk, state }: StoredKey): RingKey[] {
  return state === "gone" || isLegacyAlgorithm(alg) ? [] : [{ kid, alg, jwk, state }];
}

function legacyKeyOf({ kid, alg, jwk, state }: StoredKey): LegacyRingKey[] {
  return state === "gone" || !isLegacyAlgorithm(alg) ? [] : [{ kid, alg, jwk, state }];
}
