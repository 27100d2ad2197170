// Promises that every token issued and every refusal is a leaf, durable before the answer; floods of strangers are counted, not written one by one.
// Trusts the log and the pseudonym function. Leaf: docs/formats/leaf.md ("issuance", "denials"), DESIGN §4 Records.
import { isIP } from "node:net";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Leaf, Pseudonym } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { ProofKind } from "@sallyport/protocol/principal.ts";

export interface IssuedFacts {
  readonly client: string;
  readonly audience: string;
  readonly tokenId: string;
  readonly proof: ProofKind;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface RefusedFacts {
  /** Only when the client was authenticated: an unproven client_id is text chosen by a stranger. */
  readonly client: string | null;
  readonly code: string;
  /** Source address; enters a leaf only as the pseudonym of its prefix. */
  readonly address: string;
}

export interface IssuanceRecorder {
  /** Resolves once the leaf is durable; rejects when it cannot be: then the token must not leave. */
  issued(facts: IssuedFacts): Promise<void>;
  /** Resolves once the leaf is durable, or at once when it is only counted. */
  refused(facts: RefusedFacts): Promise<void>;
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
  readonly pseudonym: (domain: "client" | "token" | "address", value: string) => Pseudonym;
  /** `<node>-<ulid>`. */
  readonly nextId: () => string;
}

export const refusalsPerWindowMax = 8;
export const refusalWindowMs = 10_000;
/** Sources told apart at once; beyond it all share one count, so that a flood of addresses costs no memory. */
const sourcesMax = 4_096;

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
  readonly #windows = new Map<string, Window>();

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  async issued(facts: IssuedFacts): Promise<void> {
    const { pseudonym } = this.#options;
    await this.#append({
      t: "issuance",
      ...this.#common(),
      id: this.#options.nextId(),
      client: pseudonym("client", facts.client),
      audience: facts.audience,
      verdict: "allow",
      code: null,
      token: pseudonym("token", facts.tokenId),
      proof: facts.proof,
      expiresAt: facts.expiresAt,
    });
  }

  async refused(facts: RefusedFacts): Promise<void> {
    if (facts.client === null && !this.#deservesLeaf(facts)) return;
    await this.#append({
      t: "issuance",
      ...this.#common(),
      id: this.#options.nextId(),
      client: facts.client === null ? null : this.#options.pseudonym("client", facts.client),
      audience: null,
      verdict: "deny",
      code: facts.code,
      token: null,
      proof: null,
      expiresAt: 0,
    });
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

  async #append(leaf: Leaf): Promise<void> {
    await this.#options.log.append(printLeaf(leaf));
  }
}

/** /24 of an IPv4 address, the first three groups of an IPv6 address: one household, one office, one rack. */
function sourcePrefix(address: string): string {
  const bare = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  if (isIP(bare) === 4) return bare.split(".").slice(0, 3).join(".");
  return isIP(bare) === 6 ? bare.split(":").slice(0, 3).join(":") : "unknown";
}
