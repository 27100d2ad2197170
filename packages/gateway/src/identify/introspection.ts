// Promises that a token which says nothing by itself is asked about at the one issuer outside that its provider names, through control, once at a time and within
// bounds per network; that a yes is used again no longer than it may, and that no answer is no entry. Trusts the channel for the answer, which is judged as a
// signed token would be. The token itself is kept by nobody. Specified in docs/identity/outside-introspection.md (RFC 7662).
import { patience } from "@sallyport/kernel/dial/patience.ts";
import type { IntrospectionReply, SnapshotFeed } from "@sallyport/protocol/channel/messages.ts";
import type { Classification, OutsideIssuerObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import type { JsonObject } from "@sallyport/protocol/token/json.ts";
import { readIntrospectedToken } from "@sallyport/protocol/token/outside-introspection.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { OutsideToken } from "./outside.ts";
import { SourceTries } from "./source-tries.ts";
import { TokenCache } from "./token-cache.ts";

/** Questions on their way at once, and of them for one source network. */
export const questionsMax = 256;
export const questionsPerSourceMax = 16;
/** A token that is not active is not asked about again for this long; so many are remembered. */
export const inactiveMs = 5_000;
export const inactiveMax = 4_096;
const wordsMax = 10_000;
/** Longer than control waits for the issuer, so that its reason arrives. */
const answerMs = 5_000;
/** How long beyond its time the last yes carries a crossing that goes on, while the issuer is asked anew: it is judged every half minute (docs/streams.md). */
export const goesOnMs = 60_000;
/** The longest a yes is used again for what is classified so, whatever the issuer's file says. */
const keepMsMax: Readonly<Record<Classification, number>> = {
  public: Number.POSITIVE_INFINITY,
  internal: Number.POSITIVE_INFINITY,
  confidential: 10_000,
  restricted: 5_000,
};

/** A yes of an issuer. */
export interface Word {
  readonly issuer: string;
  members: JsonObject;
  /** When it was asked for, by the monotonic clock: it may be as old as that. */
  askedMs: number;
  /** It said no since. */
  isOver: boolean;
  /** What the yes says under the rules of this fingerprint. */
  under: string;
  token: OutsideToken | Deny;
}

/** One token as it was presented. */
export interface OpaqueToken {
  readonly token: string;
  /** base64url SHA-256 of it. */
  readonly tokenHash: string;
}

/** Who is asked, for which provider, for whom, under which rules. */
export interface Asking {
  readonly issuer: OutsideIssuerObject;
  readonly provider: string;
  readonly classification: Classification;
  /** Names every rule in force. */
  readonly fingerprint: string;
  /** The network of who presented it. */
  readonly source: string;
}

export interface IntrospectionPorts {
  readonly ask: SnapshotFeed["introspect"];
  readonly crypto: Pick<TokenCrypto, "sha256">;
  /** Milliseconds, never back. */
  monotonic(): number;
}

type Verdict = OutsideToken | Deny;

const troubleWords: Readonly<Record<Extract<IntrospectionReply, { trouble: unknown }>["trouble"], string>> = {
  "not-asked": "control does not ask this issuer for this provider (yet)",
  busy: "as many questions as this issuer is asked are on their way",
  unreachable: "the issuer could not be asked",
  "client-refused": "the issuer does not let control ask: its client there is unknown, or its key",
  malformed: "the issuer's answer is none of RFC 7662",
};

export class Introspections {
  readonly #ports: IntrospectionPorts;
  readonly #words = new TokenCache<Word>(wordsMax);
  readonly #underWay = new Map<string, Promise<Word | Deny>>();
  readonly #bySource = new Map<string, number>();
  /** Key -> until when it is not asked about. */
  readonly #inactive = new Map<string, number>();
  readonly #tries = new SourceTries();

  constructor(ports: IntrospectionPorts) {
    this.#ports = ports;
  }

  /** What the issuer says of a token that is presented now. Never rejects. */
  find(presented: OpaqueToken, asking: Asking): Promise<Verdict> | Verdict {
    const key = keyOf(presented, asking);
    const word = this.#words.find(key);
    if (word !== undefined && this.#ageOf(word) < keepMsOf(asking)) return this.#read(word, presented, asking);
    const asked = this.#ask(key, { presented, asking, word });
    const read = (said: Word | Deny) => ("kind" in said ? said : this.#read(said, presented, asking));
    return asked instanceof Promise ? asked.then(read) : asked;
  }

  /** The same for a crossing that goes on, at once: by the last word, while a new one is asked for. `held`: the word it began with. */
  again(presented: OpaqueToken, asking: Asking, held: Word): Verdict {
    const key = keyOf(presented, asking);
    const word = this.#words.find(key) ?? held;
    if (word.issuer !== asking.issuer.id)
      return deny("identify", "token-issuer", { why: "another issuer is asked for this provider now" });
    const overdueMs = this.#ageOf(word) - keepMsOf(asking);
    if (word.isOver) return notActive(asking);
    if (overdueMs >= goesOnMs) return unresolved(asking, "it was not answered about for too long");
    if (overdueMs >= 0) void this.#ask(key, { presented, asking, word });
    return this.#read(word, presented, asking);
  }

  #ageOf({ askedMs }: Word): number {
    return this.#ports.monotonic() - askedMs;
  }

  #ask(key: string, question: Question): Promise<Word | Deny> | Deny {
    const { asking, word } = question;
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return underWay;
    const nowMs = this.#ports.monotonic();
    if ((this.#inactive.get(key) ?? 0) > nowMs) return notActive(asking);
    const ofSource = this.#bySource.get(asking.source) ?? 0;
    if (this.#underWay.size >= questionsMax || ofSource >= questionsPerSourceMax)
      return unresolved(asking, "too many questions about tokens are on their way to control");
    // Who holds a token that was good is not kept out by others of the network who guess.
    if (word === undefined && this.#tries.isSpent(asking.source, nowMs))
      return unresolved(asking, "too many tokens of this network were not active");
    this.#bySource.set(asking.source, ofSource + 1);
    const answer = this.#answer(key, question).finally(() => this.#end(key, asking.source));
    this.#underWay.set(key, answer);
    return answer;
  }

  async #answer(key: string, { presented, asking, word }: Question): Promise<Word | Deny> {
    const askedMs = this.#ports.monotonic();
    const { issuer, provider, source } = asking;
    const question = { issuer: issuer.id, provider, token: presented.token, known: word !== undefined };
    const reply = await this.#reply(question);
    if (typeof reply === "string") return unresolved(asking, reply);
    if (!reply.active) {
      if (word !== undefined) word.isOver = true;
      this.#words.drop(key);
      this.#remember(key);
      this.#tries.count(source, this.#ports.monotonic());
      return notActive(asking);
    }
    const said = word ?? {
      issuer: issuer.id,
      members: {},
      askedMs,
      isOver: false,
      under: "",
      token: notActive(asking),
    };
    said.members = reply.members;
    said.askedMs = askedMs;
    said.under = "";
    this.#words.put(key, said);
    return said;
  }

  /** A yes, a no, or why there is none. */
  async #reply(question: Parameters<SnapshotFeed["introspect"]>[0]) {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const patient = patience(answerMs, () => resolve("late"));
    try {
      const reply = await Promise.race([this.#ports.ask(question), late]);
      if (reply === "late") return "control did not say in time what the issuer says";
      return "trouble" in reply ? troubleWords[reply.trouble] : reply;
    } catch {
      return "control could not be asked";
    } finally {
      patient.end();
    }
  }

  /** The yes under the rules in force: a rule that came or went since holds at once, without a question. */
  #read(word: Word, { tokenHash }: OpaqueToken, { issuer, fingerprint }: Asking): Verdict {
    if (word.under === fingerprint) return word.token;
    const signed = readIntrospectedToken(word.members, issuer, { tokenHash, crypto: this.#ports.crypto });
    word.token =
      signed.kind === "deny"
        ? deny(signed.stage, signed.code, { ...signed.facts, issuer: issuer.id })
        : { kind: "outside", signed, principal: null, word };
    word.under = fingerprint;
    return word.token;
  }

  #remember(key: string): void {
    if (this.#inactive.size >= inactiveMax) this.#inactive.clear();
    this.#inactive.set(key, this.#ports.monotonic() + inactiveMs);
  }

  #end(key: string, source: string): void {
    this.#underWay.delete(key);
    const left = (this.#bySource.get(source) ?? 1) - 1;
    if (left <= 0) this.#bySource.delete(source);
    else this.#bySource.set(source, left);
  }
}

interface Question {
  readonly presented: OpaqueToken;
  readonly asking: Asking;
  /** The last yes about it. */
  readonly word: Word | undefined;
}

/** An issuer's word is about one token at that issuer, for one provider, and serves nobody else. */
function keyOf({ tokenHash }: OpaqueToken, { issuer, provider }: Asking): string {
  return `${issuer.id}\n${provider}\n${tokenHash}`;
}

function keepMsOf({ issuer, classification }: Asking): number {
  return Math.min(issuer.introspection?.keepMs ?? 0, keepMsMax[classification]);
}

function notActive({ issuer }: Asking): Deny {
  return deny("identify", "token-inactive", {
    why: `issuer ${issuer.id} says the token is not active`,
    issuer: issuer.id,
  });
}

function unresolved({ issuer }: Asking, why: string): Deny {
  return deny("identify", "token-unresolved", { why: `${why} (issuer ${issuer.id})`, issuer: issuer.id });
}
