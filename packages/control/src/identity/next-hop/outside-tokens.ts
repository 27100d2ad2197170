// Promises tokens of a provider's own authorization server: asked for over the guarded way, once at a time for the same thing, with an answer that is bounded and
// read strictly, and never with anything that a caller sent. Trusts the estate for where to ask. Specified in docs/identity/next-hop.md.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { nextHopAssertionSeconds } from "@sallyport/protocol/token/next-hop-assertion.ts";
import type { TrustConfig } from "../../registry/config/estate.ts";
import type { OutsideEndpoint } from "../../registry/config/upstream-config.ts";
import { hostOf, type OutsideNet } from "../dial-once.ts";
import { tokenExchangeGrantType } from "../exchange/decide-exchange.ts";
import { accessTokenUrn, jwtUrn } from "../exchange/subject-token.ts";
import { type MintDecision, signAssertion } from "../mint.ts";
import type { ProviderFetch } from "../people/outside/guarded-fetch.ts";
import { type OutsideTokenReading, readOutsideAnswer } from "./read-outside-answer.ts";

/** Questions under way at one provider's endpoint. */
export const outsideAsksMax = 32;
/** After a failure it is left alone for so long. */
export const outsideRestMs = 1_000;
/** Of an endpoint that does not say how long its tokens live. */
const lifeSecondsUnsaid = 60;
const assertionUrn = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

export interface OutsideTokensOptions {
  readonly issuer: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly send: ProviderFetch;
  /** Signs what is said of callers: the ring's own; null while none may sign. */
  readonly signer: () => TokenSigner | null;
  /** The key control proves itself with for this system, made at its first use. */
  readonly keyOf: (system: string) => Promise<TokenSigner>;
  readonly bundles: () => readonly Pick<TrustConfig, "name" | "roots">[];
}

export interface OutsideAsk {
  readonly system: string;
  readonly endpoint: OutsideEndpoint;
  readonly scope: readonly string[];
  readonly decision: MintDecision;
  /** Of whom the caller's token was; null: nobody's. */
  readonly client: string | null;
  /** What tells this caller's question from another's. */
  readonly of: string;
}

export type OutsideToken = Exclude<OutsideTokenReading, { kind: "token" }> | OutsideGiven;

export interface OutsideGiven {
  readonly kind: "token";
  readonly token: string;
  /** Milliseconds since the epoch; never later than what was decided. */
  readonly expiresAt: number;
}

export class OutsideTokens {
  readonly #options: OutsideTokensOptions;
  readonly #underWay = new Map<string, Promise<OutsideToken>>();
  readonly #bySystem = new Map<string, number>();
  /** System -> until when it is left alone, monotonic. */
  readonly #resting = new Map<string, number>();

  constructor(options: OutsideTokensOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  ask(wanted: OutsideAsk): Promise<OutsideToken> {
    const { system, endpoint, scope, of, decision } = wanted;
    const { kind } = decision.binding;
    const key = JSON.stringify([system, endpoint, scope, of, decision.act ?? null, decision.grants ?? null, kind]);
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return underWay;
    const asks = this.#bySystem.get(system) ?? 0;
    const { clock } = this.#options;
    if (asks >= outsideAsksMax) return Promise.resolve({ kind: "unavailable", code: "outside-busy" });
    if ((this.#resting.get(system) ?? 0) > clock.monotonic())
      return Promise.resolve({ kind: "unavailable", code: "outside-resting" });
    this.#bySystem.set(system, asks + 1);
    const answer = this.#send(wanted)
      .catch((): OutsideToken => ({ kind: "unavailable", code: "outside-unreachable" }))
      .then((given) => {
        if (given.kind === "unavailable") this.#resting.set(system, clock.monotonic() + outsideRestMs);
        else this.#resting.delete(system);
        return given;
      })
      .finally(() => {
        this.#underWay.delete(key);
        const left = (this.#bySystem.get(system) ?? 1) - 1;
        if (left > 0) this.#bySystem.set(system, left);
        else this.#bySystem.delete(system);
      });
    this.#underWay.set(key, answer);
    return answer;
  }

  async #send(wanted: OutsideAsk): Promise<OutsideToken> {
    const { endpoint, scope, decision } = wanted;
    const { clock, send } = this.#options;
    const net = this.#netOf(endpoint);
    const isExchange = endpoint.grant === "token-exchange";
    const subjectToken = isExchange ? this.#subjectToken(wanted) : null;
    if (net === null) return { kind: "unavailable", code: "outside-bundle-missing" };
    if (isExchange && subjectToken === null) return { kind: "unavailable", code: "no-active-key" };
    const askedAtMs = clock.now();
    const body = await this.#bodyOf(wanted, subjectToken);
    const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
    const response = await send(net, endpoint.uri, { method: "POST", headers, body });
    const contentType = response.headers.get("content-type");
    const answer = { status: response.status, contentType, text: await response.text() };
    const read = readOutsideAnswer(answer, { isExchange, scope, subjectToken });
    if (read.kind !== "token") return read;
    // Counted from before it was asked for: its clock began no later.
    const seconds = Math.min(read.lifetimeSeconds ?? lifeSecondsUnsaid, decision.lifetimeSeconds);
    return { kind: "token", token: read.token, expiresAt: askedAtMs + seconds * 1_000 };
  }

  async #bodyOf({ system, endpoint, scope }: OutsideAsk, subjectToken: string | null): Promise<URLSearchParams> {
    const { client, audience, resource } = endpoint;
    const { iat, exp, jti } = this.#times();
    const own = { iss: client, sub: client, aud: audience, iat, exp, jti };
    return new URLSearchParams({
      ...(subjectToken === null
        ? { grant_type: "client_credentials" }
        : {
            grant_type: tokenExchangeGrantType,
            subject_token: subjectToken,
            subject_token_type: jwtUrn,
            requested_token_type: accessTokenUrn,
          }),
      client_id: client,
      client_assertion_type: assertionUrn,
      client_assertion: signAssertion(own, await this.#options.keyOf(system)),
      ...(resource === undefined ? {} : { resource }),
      ...(scope.length === 0 ? {} : { scope: scope.join(" ") }),
    });
  }

  /** Who the caller is and who acts for it, for this endpoint alone; null while no key may sign. */
  #subjectToken({ endpoint, decision, client }: OutsideAsk): string | null {
    const signer = this.#options.signer();
    if (signer === null) return null;
    const { iat, exp, jti } = this.#times();
    const { subject, act, scopes } = decision;
    const claims = {
      iss: this.#options.issuer,
      sub: subject?.id ?? decision.client,
      aud: endpoint.audience,
      iat,
      exp: Math.min(exp, iat + decision.lifetimeSeconds),
      jti,
      ...(client === null ? {} : { client_id: client }),
      ...(scopes === null ? {} : { scope: scopes.join(" ") }),
      ...(act === undefined ? {} : { act }),
    };
    return signAssertion(claims, signer);
  }

  #times() {
    const iat = Math.floor(this.#options.clock.now() / 1000);
    const jti = Buffer.from(this.#options.random.bytes(16)).toString("base64url");
    return { iat, exp: iat + nextHopAssertionSeconds, jti };
  }

  /** Null: a named bundle that is gone leaves nobody to believe, not everybody. */
  #netOf({ uri, allowPrivate, trust }: OutsideEndpoint): OutsideNet | null {
    const net: OutsideNet = { privateHost: allowPrivate ? hostOf(new URL(uri)) : null };
    if (trust === undefined) return net;
    const bundle = this.#options.bundles().find(({ name }) => name === trust);
    return bundle === undefined ? null : { ...net, ca: bundle.roots.join("\n") };
  }
}
