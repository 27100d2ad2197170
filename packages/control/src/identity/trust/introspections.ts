// Promises that gateways learn what an issuer outside says about an opaque token, from the issuer that the estate names for the provider and from nobody else:
// once for all who ask at the same time, seldom enough for it, proven by a key that was made here for it alone. Nothing about a token is kept.
// Trusts the channel for who asks. Specified in docs/identity/outside-introspection.md.
import type { PurposeRing } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { sha256, signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import type {
  IntrospectionQuestion,
  IntrospectionReply,
  IntrospectionTrouble,
} from "@sallyport/protocol/channel/messages.ts";
import { encodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { utf8 } from "@sallyport/protocol/token/json.ts";
import { isOpaqueToken } from "@sallyport/protocol/token/opaque-token.ts";
import type { IssuerConfig, TrustConfig } from "../../registry/config/estate.ts";
import type { OutsidePlace } from "../dial-once.ts";
import { openKey } from "../people/outside/providers.ts";
import type { PeopleCommands } from "../people/store.ts";
import { type AskedIssuer, type AskPorts, askIssuer } from "./ask-issuer.ts";
import { QuestionRate } from "./question-rate.ts";

/** Questions to one issuer on their way at once; tokens nobody knows leave some of the room. */
export const askedAtOnceMax = 32;
export const strangersAtOnceMax = 24;

export interface IntrospectionsOptions extends AskPorts {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<PeopleCommands>, "run">;
  /** Purpose `people`: seals the keys we prove ourselves with outside. */
  readonly seeds: PurposeRing;
  readonly fault: (error: unknown) => void;
}

/** How asking one issuer goes, for operators. */
export interface IntrospectionState {
  /** Milliseconds since the epoch of its last yes or no; null: there was none since control started. */
  readonly answeredAt: number | null;
  /** Why the last question was not answered; null: it was, or none was asked. */
  readonly trouble: Exclude<IntrospectionTrouble, "not-asked" | "busy"> | null;
}

type Asked = AskedIssuer["config"] & Pick<IssuerConfig, "id">;

interface Held {
  readonly config: Asked;
  /** Null: its bundle is gone, so that nobody there is believed. */
  readonly place: OutsidePlace | null;
  readonly version: string;
  readonly rate: QuestionRate;
  readonly underWay: Map<string, Promise<IntrospectionReply>>;
  answeredAt: number | null;
  trouble: IntrospectionState["trouble"];
}

export class Introspections {
  readonly #options: IntrospectionsOptions;
  readonly #keys = new Map<string, Promise<TokenSigner>>();
  #held: ReadonlyMap<string, Held> = new Map();

  constructor(options: IntrospectionsOptions) {
    this.#options = options;
  }

  /** Who is asked from now on. What is on its way to one whose file changed is no answer for later questions. */
  use(issuers: readonly IssuerConfig[], trust: readonly TrustConfig[]): void {
    const asked = issuers.flatMap((issuer): Held[] => {
      const { id, url, gateways, introspection } = issuer;
      if (gateways === undefined || introspection === undefined) return [];
      const config = { id, url, gateways, introspection };
      const place = placeOf(introspection, trust);
      const version = JSON.stringify([config, place]);
      const known = this.#held.get(id);
      return [known?.version === version ? known : this.#fresh({ config, place, version })];
    });
    this.#held = new Map(asked.map((one) => [one.config.id, one]));
  }

  /** Never rejects. */
  async ask({ issuer, provider, token, known }: IntrospectionQuestion): Promise<IntrospectionReply> {
    const held = this.#held.get(issuer);
    if (held === undefined || !held.config.introspection.providers.includes(provider) || !isOpaqueToken(token))
      return { trouble: "not-asked" };
    const digest = encodeBase64url(sha256(utf8(token)));
    const underWay = held.underWay.get(digest);
    if (underWay !== undefined) return underWay;
    const isFull = held.underWay.size >= (known ? askedAtOnceMax : strangersAtOnceMax);
    if (isFull || !held.rate.take(known, this.#options.clock.monotonic())) return { trouble: "busy" };
    const answer = this.#ask(token, held).finally(() => held.underWay.delete(digest));
    held.underWay.set(digest, answer);
    return answer;
  }

  /** How asking an issuer (by id) goes; null: it is not asked. */
  state(issuer: string): IntrospectionState | null {
    const held = this.#held.get(issuer);
    return held === undefined ? null : { answeredAt: held.answeredAt, trouble: held.trouble };
  }

  /** Public keys that we prove ourselves with (RFC 7517), one for each issuer; made when first asked for. */
  async jwks(): Promise<{ readonly keys: readonly object[] }> {
    const signers = await Promise.all([...this.#held.keys()].map((id) => this.#signer(id)));
    return { keys: signers.map(({ jwk, kid, alg }) => ({ ...jwk, kid, alg, use: "sig" })) };
  }

  async #ask(token: string, held: Held): Promise<IntrospectionReply> {
    const { config, place } = held;
    let reply: IntrospectionReply = { trouble: "unreachable" };
    try {
      if (place !== null) {
        const signer = await this.#signer(config.id);
        reply = await askIssuer(token, { config, place, signer }, this.#options);
      }
    } catch (error) {
      this.#options.fault(error);
    }
    this.#note(held, reply);
    return reply;
  }

  #note(held: Held, reply: IntrospectionReply): void {
    if (!("trouble" in reply)) {
      held.answeredAt = this.#options.clock.now();
      held.trouble = null;
    } else if (reply.trouble !== "not-asked" && reply.trouble !== "busy") {
      // Once for each kind, not for each token.
      if (held.trouble !== reply.trouble)
        this.#options.fault(new Error(`issuer ${held.config.id} was asked about a token in vain: ${reply.trouble}`));
      held.trouble = reply.trouble;
    }
  }

  #signer(id: string): Promise<TokenSigner> {
    const known = this.#keys.get(id) ?? openKey(this.#options, `issuer/${id}`).then(signerFromPem);
    this.#keys.set(id, known);
    known.catch(() => this.#keys.delete(id));
    return known;
  }

  #fresh(of: Pick<Held, "config" | "place" | "version">): Held {
    const rate = new QuestionRate(of.config.introspection.perSecond, this.#options.clock.monotonic());
    return { ...of, rate, underWay: new Map(), answeredAt: null, trouble: null };
  }
}

/** A named bundle that is gone leaves nobody to believe, not everybody. */
function placeOf(
  { uri, allowPrivate, trust: named }: Asked["introspection"],
  trust: readonly TrustConfig[],
): OutsidePlace | null {
  if (named === undefined) return { uri, allowPrivate };
  const bundle = trust.find(({ name }) => name === named);
  return bundle === undefined ? null : { uri, allowPrivate, ca: bundle.roots.join("\n") };
}
