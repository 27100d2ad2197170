// Promises that every token issued and every refusal is a leaf, durable before the answer; floods of strangers are counted, not written one by one.
// Trusts the log and the pseudonym function. Leaf: docs/formats/leaf.md ("issuance", "denials"), DESIGN §4 Records.
import { hash } from "node:crypto";
import { isIP } from "node:net";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { createRecipientSealer, type RecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import type { FormerIssuanceFields, IssuanceFields, Leaf, Pseudonym } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { referenceContext } from "@sallyport/protocol/audit/reference.ts";
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";

/** What is known of a token whether it is given or not. */
export interface TokenFacts {
  readonly audience: string;
  readonly proof: ProofKind;
  readonly grantType: GrantWord;
  /** Null: the client itself. Enters a leaf only as a pseudonym. */
  readonly subject: string | null;
  /** Ids of the grants it descends from. */
  readonly grants: readonly string[];
  /** Names of operations; null: the token has no scope. */
  readonly operations: readonly string[] | null;
  readonly policies: readonly string[];
}

export interface IssuedFacts extends TokenFacts {
  readonly client: string;
  readonly tokenId: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** For operators only: sealed beside the leaf. */
  readonly sealed?: Readonly<Record<string, unknown>>;
}

export interface RefusedFacts {
  /** Only when the client was authenticated: an unproven client_id is text chosen by a stranger. */
  readonly client: string | null;
  readonly code: string;
  /** Source address; for operators only, sealed beside the leaf. A counted leaf has the pseudonym of its prefix. */
  readonly address: string;
  /** Whose log-in it was, where somebody of that name is there; sealed too. */
  readonly user?: string;
  /** Absent: refused before it was known. */
  readonly grantType?: GrantWord;
  /** Of a token that the policies refused; `inputs` is for operators only and is sealed. */
  readonly token?: TokenFacts & { readonly inputs: Readonly<Record<string, unknown>> };
}

export interface IssuanceRecorder {
  /** Resolves once the leaf is durable; rejects when it cannot be: then the token must not leave. */
  issued(facts: IssuedFacts): Promise<void>;
  /** Resolves with the leaf's id once it is durable, or with null at once when it is only counted. */
  refused(facts: RefusedFacts): Promise<string | null>;
  /** Writes the counted leaves of windows that have ended; call about once a window and before closing. */
  flush(): Promise<void>;
}

export interface RecorderOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Pick<LogHandle, "append">;
  readonly pseudonym: (domain: "client" | "token" | "address" | "subject", value: string) => Pseudonym;
  /** Control's own X25519 public key: what operators may read of a refusal is sealed to it. */
  readonly recipient: Uint8Array;
  readonly random: Random;
  /** `<node>-<ulid>`. */
  readonly nextId: () => string;
}

export const refusalsPerWindowMax = 8;
export const refusalWindowMs = 10_000;
/** Sources told apart at once; beyond it all share one count, so that a flood of addresses costs no memory. */
const sourcesMax = 4_096;

/** As many as a leaf names. */
const policiesMax = 64;

const nothingKnown = {
  audience: null,
  proof: null,
  subject: null,
  grants: [],
  operations: null,
  policies: [],
} as const;

interface Window {
  readonly prefix: string;
  readonly startedAt: number;
  count: number;
}

/** Recorder of one (tenant, environment) over a log. */
export function createIssuanceRecorder(options: RecorderOptions): IssuanceRecorder {
  return new LogRecorder(options);
}

class LogRecorder implements IssuanceRecorder {
  readonly #options: RecorderOptions;
  readonly #sealer: RecipientSealer;
  readonly #windows = new Map<string, Window>();

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#sealer = createRecipientSealer(options);
  }

  async issued(facts: IssuedFacts): Promise<void> {
    const { pseudonym } = this.#options;
    const id = this.#options.nextId();
    const reference = facts.sealed === undefined ? undefined : this.#seal(id, facts.sealed);
    const leaf: Leaf = {
      t: "issuance",
      ...this.#common(),
      id,
      client: pseudonym("client", facts.client),
      verdict: "allow",
      code: null,
      token: pseudonym("token", facts.tokenId),
      expiresAt: facts.expiresAt,
      inputs: reference === undefined ? null : hash("sha256", reference, "hex"),
      ...this.#about(facts),
    };
    await this.#append(leaf, reference);
  }

  async refused(facts: RefusedFacts): Promise<string | null> {
    if (facts.client === null && !this.#deservesLeaf(facts)) return null;
    const id = this.#options.nextId();
    const { code, address, user, token } = facts;
    const known = { ...(address === "" ? {} : { address }), ...(user === undefined ? {} : { user }), ...token?.inputs };
    const reference = Object.keys(known).length === 0 ? undefined : this.#seal(id, { id, code, ...known });
    const leaf: Leaf = {
      t: "issuance",
      ...this.#common(),
      id,
      client: facts.client === null ? null : this.#options.pseudonym("client", facts.client),
      verdict: "deny",
      code: facts.code,
      token: null,
      expiresAt: 0,
      inputs: reference === undefined ? null : hash("sha256", reference, "hex"),
      ...(facts.token === undefined
        ? { ...nothingKnown, grantType: facts.grantType ?? null }
        : this.#about(facts.token)),
    };
    await this.#append(leaf, reference);
    return id;
  }

  #seal(id: string, facts: Readonly<Record<string, unknown>>): Uint8Array {
    const { tenant, environment } = this.#options;
    const text = JSON.stringify(facts);
    // A copy: the log hands its bytes to a thread, and the sealer's lie in a block that it uses again.
    return Uint8Array.from(this.#sealer.seal(referenceContext({ tenant, environment, id }), Buffer.from(text)));
  }

  #about(
    token: TokenFacts,
  ): Omit<IssuanceFields, keyof FormerIssuanceFields | "inputs"> & Pick<IssuanceFields, "audience" | "proof"> {
    const { audience, proof, grantType, subject, grants, operations, policies } = token;
    return {
      audience,
      proof,
      grantType,
      subject: subject === null ? null : this.#options.pseudonym("subject", subject),
      grants,
      operations,
      policies: policies.slice(0, policiesMax),
    };
  }

  async flush(): Promise<void> {
    const now = this.#options.clock.now();
    for (const [key, window] of this.#windows) {
      if (now - window.startedAt < refusalWindowMs) continue;
      this.#windows.delete(key);
      const count = window.count - refusalsPerWindowMax;
      if (count > 0) {
        const prefix = this.#options.pseudonym("address", window.prefix);
        await this.#append({
          t: "denials",
          ...this.#common(),
          id: this.#options.nextId(),
          code: "client-unknown",
          prefix,
          count,
          windowMs: refusalWindowMs,
        });
      }
    }
  }

  /** Counts the refusal of a stranger; the first eight per (prefix, code, window) are written out. */
  #deservesLeaf(facts: RefusedFacts): boolean {
    const now = this.#options.clock.now();
    let prefix = sourcePrefix(facts.address);
    let key = `${prefix} ${facts.code}`;
    if (!this.#windows.has(key) && this.#windows.size >= sourcesMax) {
      prefix = "others";
      key = prefix;
    }
    const window = this.#windows.get(key);
    // An ended window stays until flush has written its count; until then it goes on counting.
    if (window === undefined) this.#windows.set(key, { prefix, startedAt: now, count: 1 });
    else window.count += 1;
    return (window?.count ?? 1) <= refusalsPerWindowMax;
  }

  #common(): Pick<Leaf, "tenant" | "environment" | "region" | "node" | "at"> {
    const { tenant, environment, region, node, clock } = this.#options;
    return { tenant, environment, region, node, at: clock.now() };
  }

  async #append(leaf: Leaf, reference?: Uint8Array): Promise<void> {
    await this.#options.log.append(printLeaf(leaf), reference);
  }
}

/** /24 of an IPv4 address, the first three groups of an IPv6 address: one household, one office, one rack. */
function sourcePrefix(address: string): string {
  const bare = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  if (isIP(bare) === 4) return bare.split(".").slice(0, 3).join(".");
  return isIP(bare) === 6 ? bare.split(":").slice(0, 3).join(":") : "unknown";
}
