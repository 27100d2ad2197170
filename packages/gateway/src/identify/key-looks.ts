// Promises that a key which a token names and this node does not hold is asked for at control, never fetched here, and seldom enough that a stranger who
// makes up names costs the channel next to nothing. Trusts its caller to ask only for issuers and algorithms that are trusted. docs/formats/join.md.

/** Between two asks about one issuer, whatever they name. */
export const askMs = 5_000;
/** How long a name is not asked for again, and how many are remembered of one issuer. Short: a stranger may name a key before it exists. */
export const nameMs = 60_000;
export const namesMax = 256;
/** Issuers remembered; a snapshot names a handful. */
const issuersMax = 1_024;

export interface KeyLookPorts {
  /** Milliseconds, never back. */
  monotonic(): number;
  send(message: { readonly t: "look-for-keys"; readonly issuer: string }): void;
}

interface Asked {
  lastMs: number;
  /** Name -> until when it is not asked for. */
  readonly names: Map<string, number>;
}

export class KeyLooks {
  readonly #ports: KeyLookPorts;
  readonly #asked = new Map<string, Asked>();

  constructor(ports: KeyLookPorts) {
    this.#ports = ports;
  }

  /** Asks control to look for newer keys of this issuer (id in the estate); false: it was asked just now, or for this name. */
  ask(issuer: string, kid: string): boolean {
    const nowMs = this.#ports.monotonic();
    const asked = this.#of(issuer);
    if (nowMs - asked.lastMs < askMs || (asked.names.get(kid) ?? Number.NEGATIVE_INFINITY) > nowMs) return false;
    asked.lastMs = nowMs;
    if (asked.names.size >= namesMax) asked.names.clear();
    asked.names.set(kid, nowMs + nameMs);
    this.#ports.send({ t: "look-for-keys", issuer });
    return true;
  }

  #of(issuer: string): Asked {
    const known = this.#asked.get(issuer);
    if (known !== undefined) return known;
    if (this.#asked.size >= issuersMax) this.#asked.clear();
    const fresh: Asked = { lastMs: Number.NEGATIVE_INFINITY, names: new Map() };
    this.#asked.set(issuer, fresh);
    return fresh;
  }
}
