// Promises the account of every answer while signing keys rotate again and again under load and one is killed: no token refused that was good, none accepted
// that its key's death had reached, no token request failed. Trusts the answers and the `kid` each token names. Specified in docs/control.md "Soaks".
import type { Signer } from "@sallyport/sdk/signer.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { type Installation, until } from "sallyport/installation.test-support.ts";
import { Prober, type Seen } from "./revocation/prober.ts";
import { headerOf } from "./revocation/token-parts.ts";
import { freshOperator, type SoakOptions, withInstallation } from "./soak-installation.ts";

export interface KeysFigures {
  readonly soak: "keys";
  readonly seed: number;
  readonly rotations: number;
  readonly kills: number;
  /** Issued under load. */
  readonly tokens: number;
  /** Keys that signed them. */
  readonly kids: number;
  readonly accepted: number;
  /** Tokens of a killed key, after the order to kill it. */
  readonly rightlyRefused: number;
  readonly wronglyRefused: number;
  readonly wronglyAccepted: number;
  /** Token requests refused between a kill and its successor's first token: no token is better than one nobody can verify. */
  readonly rightlyNotIssued: number;
  readonly failedTokenRequests: number;
  /** The first of what was wrong, in words. */
  readonly wrong: readonly string[];
  readonly seconds: number;
  readonly ok: boolean;
}

type Operator = ReturnType<typeof freshOperator>;

const rotationsMax = 20;
/** Under load, before the next rotation. */
const tokensPerKey = 15;
/** Issue a token, call with it a few times, throw it away. */
const briefWorkers = 3;
const callsPerToken = 4;
/** Keep a token until it is refused: it outlives rotations. */
const loyalWorkers = 2;
const wrongShownMax = 20;
/** A kill is everywhere within this, or the first refusal of that key came sooner. */
const killedWithinMs = 1_000;
/** Acknowledgements are looked at once a second. */
const successorWithinMs = 3_000;

/** What is known of the killed keys, and the account of every answer. */
class Account {
  tokens = 0;
  accepted = 0;
  rightlyRefused = 0;
  wronglyRefused = 0;
  wronglyAccepted = 0;
  failedTokenRequests = 0;
  rightlyNotIssued = 0;
  readonly kids = new Map<string, number>();
  readonly wrong: string[] = [];
  readonly #kills = new Map<string, { readonly orderedMs: number; refusedMs: number | null }>();
  /** A kill was ordered then and no other key has signed since. */
  #withoutKeySinceMs: number | null = null;

  killing(kid: string): void {
    const orderedMs = performance.now();
    this.#kills.set(kid, { orderedMs, refusedMs: null });
    this.#withoutKeySinceMs = orderedMs;
  }

  issued(kid: string): void {
    this.tokens += 1;
    if (!this.#kills.has(kid)) this.#withoutKeySinceMs = null;
    this.kids.set(kid, (this.kids.get(kid) ?? 0) + 1);
  }

  notIssued(error: unknown): void {
    const since = this.#withoutKeySinceMs;
    if (since !== null && performance.now() - since < successorWithinMs) {
      this.rightlyNotIssued += 1;
      return;
    }
    this.failedTokenRequests += 1;
    this.#note(`a token request: ${String(error)}`);
  }

  /** `begunMs`: before the request was sent. */
  answered(kid: string, begunMs: number, seen: Seen): void {
    const kill = this.#kills.get(kid);
    if (seen.kind === "refused" && kill !== undefined) {
      kill.refusedMs ??= seen.atMs;
      this.rightlyRefused += 1;
    } else if (seen.kind !== "allowed") {
      this.wronglyRefused += 1;
      this.#note(`${kid}, no reason to refuse it: ${seen.why}`);
    } else if (kill !== undefined && begunMs > Math.min(kill.refusedMs ?? Infinity, kill.orderedMs + killedWithinMs)) {
      this.wronglyAccepted += 1;
      this.#note(`${kid} accepted ${Math.round(begunMs - kill.orderedMs)} ms after the order to kill it`);
    } else this.accepted += 1;
  }

  #note(what: string): void {
    if (this.wrong.length < wrongShownMax) this.wrong.push(what);
  }
}

export function runKeys({ seed, minutes, rounds }: SoakOptions): Promise<KeysFigures> {
  return withInstallation(async ({ installation }) => {
    const operator = freshOperator(installation);
    const account = new Account();
    const load = startLoad(installation, account);
    const startedMs = performance.now();
    const endMs = startedMs + minutes * 60_000;
    let rotations = 0;
    const wanted = rounds ?? rotationsMax;
    while (rotations < wanted && performance.now() < endMs) {
      const active = await rotate(operator);
      await until("tokens of the new key", () => (account.kids.get(active) ?? 0) >= tokensPerKey);
      rotations += 1;
      if (rotations === Math.ceil(wanted / 2)) await kill(active, { operator, account });
    }
    await load.stop();
    const {
      tokens,
      accepted,
      rightlyRefused,
      wronglyRefused,
      wronglyAccepted,
      failedTokenRequests,
      rightlyNotIssued,
      wrong,
    } = account;
    const isClean = wronglyRefused + wronglyAccepted + failedTokenRequests === 0;
    return {
      soak: "keys",
      seed,
      rotations,
      kills: 1,
      tokens,
      kids: account.kids.size,
      ...{ accepted, rightlyRefused, wronglyRefused, wronglyAccepted, failedTokenRequests, rightlyNotIssued, wrong },
      seconds: Math.round((performance.now() - startedMs) / 100) / 10,
      // Each rotation and the kill gave way to a key that signed.
      ok: isClean && rightlyRefused > 0 && account.kids.size === rotations + 2,
    };
  });
}

/** The key that signs from now on. Refused while a gateway has not acknowledged the next key: then nothing has changed, and it is asked again. */
async function rotate(operator: Operator): Promise<string> {
  let active = "";
  await until("a rotation", async () => {
    try {
      ({ active } = await operator().call<{ active: string }>("POST", "/v1/keys/rotate", {
        environment: "production",
      }));
      return true;
    } catch (error) {
      if (error instanceof Error && error.message.includes("not known to every live gateway")) return false;
      throw error;
    }
  });
  return active;
}

/** Kills the active key and waits until it shows at the gateway and another key signs. */
async function kill(
  kid: string,
  { operator, account }: { readonly operator: Operator; readonly account: Account },
): Promise<void> {
  const known = account.kids.size;
  account.killing(kid);
  await operator().call("POST", `/v1/keys/${kid}/kill`, { environment: "production", reason: "it leaked" });
  await until("a refusal of the killed key", () => account.rightlyRefused > 0);
  await until("tokens of another key", () => account.kids.size > known);
}

interface KeysLoad {
  stop(): Promise<void>;
}

function startLoad(installation: Installation, account: Account): KeysLoad {
  let isStopped = false;
  const holder = installation.clientKey.signer;
  const brief = async () => {
    while (!isStopped) {
      const held = await issue(installation, holder, account);
      for (let call = 0; held !== null && call < callsPerToken && !isStopped; call += 1) await use(held, account);
    }
  };
  const loyal = async () => {
    let held: Held | null = null;
    while (!isStopped) {
      held ??= await issue(installation, holder, account);
      if (held !== null && (await use(held, account)).kind !== "allowed") held = null;
    }
  };
  const loops = [...Array.from({ length: briefWorkers }, brief), ...Array.from({ length: loyalWorkers }, loyal)];
  return {
    stop: async () => {
      isStopped = true;
      await Promise.all(loops);
    },
  };
}

interface Held {
  readonly kid: string;
  readonly prober: Prober;
}

async function issue(installation: Installation, holder: Signer, account: Account): Promise<Held | null> {
  const issuer = `https://127.0.0.1:${installation.ports.identity}/main/production`;
  try {
    const client = new TokenClient({ issuer, clientId: "orders", key: holder, dpopKey: holder });
    const { token } = await client.token({ resource: `${issuer}/systems/billing` });
    const kid = String(headerOf(token)["kid"]);
    account.issued(kid);
    return { kid, prober: new Prober(`https://127.0.0.1:${installation.ports.gateway}`, holder, token) };
  } catch (error) {
    account.notIssued(error);
    return null;
  }
}

async function use({ kid, prober }: Held, account: Account): Promise<Seen> {
  const begunMs = performance.now();
  const seen = await prober.send();
  account.answered(kid, begunMs, seen);
  return seen;
}
