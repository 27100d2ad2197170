// Promises that every message reaches the nodes it concerns in order, that a slow node harms only itself, and who has acknowledged what.
// Trusts the channel listener, which has proven the node of each link. Specified in docs/formats/join.md.
import type { DownMessage, NodeReport, UpMessage, WitnessQuestion } from "@sallyport/protocol/channel/messages.ts";

export interface NodeAddress {
  readonly tenant: string;
  readonly environment: string;
  readonly group: string;
  readonly node: string;
}

/** One open way down to one node. `send` returns false when the node reads too slowly and its bounded buffer is full. */
export interface NodeLink {
  readonly address: NodeAddress;
  send(message: DownMessage): boolean;
  end(why: string): void;
}

export interface Acknowledged {
  readonly keySeq: number;
  readonly revocationSeq: number;
  readonly epoch: number;
  readonly version: number;
  /** Milliseconds since the epoch at which the node was last heard. */
  readonly heardAt: number;
}

export type CrossingAnswer = Extract<UpMessage, { t: "answer" }>;
export type ObservedAnswer = Extract<UpMessage, { t: "observed" }>;
export type WitnessAnswer = Extract<UpMessage, { t: "witnessed" }>;
type Answer = CrossingAnswer | ObservedAnswer | WitnessAnswer;
type Question =
  | { readonly ask: "crossing"; readonly crossing: string }
  | { readonly ask: "observed"; readonly sinceMs: number; readonly shadows: true }
  | ({ readonly ask: "witness" } & WitnessQuestion);

const answers = { crossing: "answer", observed: "observed", witness: "witnessed" } as const;

/** Questions open at once over all nodes. */
export const openQuestionsMax = 256;

interface OpenQuestion {
  readonly node: string;
  readonly wants: Answer["t"];
  readonly answer: (answer: Answer | null) => void;
  readonly timer: NodeJS.Timeout;
}

const nothingYet = { keySeq: 0, revocationSeq: 0, epoch: 0, version: 0 };

export class Hub {
  readonly #links = new Map<string, NodeLink>();
  readonly #since = new Map<string, number>();
  /** What connected nodes said of themselves. */
  readonly #reports = new Map<string, NodeReport>();
  /** One entry per node that was heard and not evicted: bounded by the registry's nodes. */
  readonly #acknowledged = new Map<string, Acknowledged & NodeAddress>();
  readonly #questions = new Map<string, OpenQuestion>();
  #nextQuestion = 0;

  /** Adds a link; a second link of the same node ends the first, so that a half-dead connection never holds a node's place. */
  connect(link: NodeLink, now: number): void {
    const { node } = link.address;
    const former = this.#links.get(node);
    this.#links.set(node, link);
    this.#since.set(node, now);
    former?.end("replaced by a newer connection of the same node");
  }

  /** The node served until `now` (milliseconds since the epoch) with what it last acknowledged, so it goes on counting as live from then. */
  disconnect(link: NodeLink, now: number): void {
    const { address } = link;
    if (this.#links.get(address.node) !== link) return;
    this.#links.delete(address.node);
    this.#forget(address.node);
    this.#acknowledged.set(address.node, {
      ...(this.#acknowledged.get(address.node) ?? nothingYet),
      ...address,
      heardAt: now,
    });
  }

  /** Sends to every connected node that `concerns` picks; a node that cannot keep up is disconnected and will resync. */
  send(concerns: (address: NodeAddress) => boolean, message: DownMessage): void {
    for (const link of this.#links.values()) {
      if (concerns(link.address)) this.deliver(link, message);
    }
  }

  /** Sends over one link, if it still is its node's; false when it was not or could not keep up, and is now ended. */
  deliver(link: NodeLink, message: DownMessage): boolean {
    if (this.#links.get(link.address.node) !== link) return false;
    if (link.send(message)) return true;
    link.end("the node reads too slowly");
    return false;
  }

  /** Ends the link of a node that lost its right to be here, and forgets what it acknowledged. */
  evict(node: string, why: string): void {
    const link = this.#links.get(node);
    this.#links.delete(node);
    this.#forget(node);
    this.#acknowledged.delete(node);
    link?.end(why);
    for (const [id, question] of this.#questions) if (question.node === node) this.#settle(id, null);
  }

  /** Of a node that was evicted while its message was under way nothing is kept: it must not hold back those that live. */
  acknowledge(address: NodeAddress, message: Extract<UpMessage, { t: "ack" }>, now: number): void {
    if (!this.#links.has(address.node) && !this.#acknowledged.has(address.node)) return;
    this.#acknowledged.set(address.node, {
      ...address,
      keySeq: message.keySeq,
      revocationSeq: message.revocationSeq,
      epoch: message.epoch,
      version: message.version,
      heardAt: now,
    });
  }

  acknowledged(node: string): Acknowledged | null {
    return this.#acknowledged.get(node) ?? null;
  }

  /** Of a node that is not connected nothing is kept: its words are no news, and the map stays as small as the links. */
  reported(node: string, message: Extract<UpMessage, { t: "state" }>, now: number): void {
    if (!this.#links.has(node)) return;
    const { t: _, ...said } = message;
    this.#reports.set(node, { ...said, receivedAt: now, skewMs: message.at - now });
  }

  report(node: string): NodeReport | null {
    return this.#reports.get(node) ?? null;
  }

  /** Milliseconds since the epoch since when the node is connected; null while it is away. */
  connectedSince(node: string): number | null {
    return this.#since.get(node) ?? null;
  }

  #forget(node: string): void {
    this.#since.delete(node);
    this.#reports.delete(node);
  }

  connected(): readonly NodeAddress[] {
    return [...this.#links.values()].map((link) => link.address);
  }

  /** Counts a node that the store knows as live before it was heard in this process, so that a restart of control cannot outrun it. */
  expect(address: NodeAddress, heardAt: number): void {
    if (this.#acknowledged.has(address.node)) return;
    this.#acknowledged.set(address.node, { ...address, ...nothingYet, heardAt });
  }

  /**
   * The lowest key sequence that every live node of an environment holds; Infinity when there is none. A node is live while it is
   * connected or was heard within `liveMs`: after that it refuses everything by its own staleness bound.
   */
  lowestKeySeq(tenant: string, environment: string, now: number, liveMs: number): number {
    const here = (address: NodeAddress) => address.tenant === tenant && address.environment === environment;
    let lowest = Number.POSITIVE_INFINITY;
    for (const { address } of this.#links.values()) {
      if (here(address)) lowest = Math.min(lowest, this.#acknowledged.get(address.node)?.keySeq ?? 0);
    }
    for (const known of this.#acknowledged.values()) {
      if (here(known) && now - known.heardAt <= liveMs) lowest = Math.min(lowest, known.keySeq);
    }
    return lowest;
  }

  /** Asks one node for the record of a crossing; null when it is away, is asked too much at once, or does not answer within `timeoutMs`. */
  async ask(node: string, crossing: string, timeoutMs: number): Promise<CrossingAnswer | null> {
    const answer = await this.#ask(node, { ask: "crossing", crossing }, timeoutMs);
    return answer?.t === "answer" ? answer : null;
  }

  /** Asks one node what it observed since then (milliseconds since the epoch); null as `ask`. */
  async askObserved(node: string, sinceMs: number, timeoutMs: number): Promise<ObservedAnswer | null> {
    const answer = await this.#ask(node, { ask: "observed", sinceMs, shadows: true }, timeoutMs);
    return answer?.t === "observed" ? answer : null;
  }

  /** Asks one node to witness a checkpoint of control's own log; null as `ask`. */
  async askWitness(node: string, question: WitnessQuestion, timeoutMs: number): Promise<WitnessAnswer | null> {
    const answer = await this.#ask(node, { ask: "witness", ...question }, timeoutMs);
    return answer?.t === "witnessed" ? answer : null;
  }

  #ask(node: string, question: Question, timeoutMs: number): Promise<Answer | null> {
    const link = this.#links.get(node);
    if (link === undefined || this.#questions.size >= openQuestionsMax) return Promise.resolve(null);
    const id = String(this.#nextQuestion++);
    const wants = answers[question.ask];
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(id, null), timeoutMs);
      this.#questions.set(id, { node, wants, answer: resolve, timer });
      if (!this.deliver(link, { t: "question", id, ...question })) this.#settle(id, null);
    });
  }

  /** An answer counts only from the node that was asked, to what it was asked. */
  answer(node: string, answer: Answer): void {
    const question = this.#questions.get(answer.id);
    if (question?.node === node && question.wants === answer.t) this.#settle(answer.id, answer);
  }

  #settle(id: string, answer: Answer | null): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    clearTimeout(question.timer);
    this.#questions.delete(id);
    question.answer(answer);
  }

  close(): void {
    for (const link of this.#links.values()) link.end("control is stopping");
    this.#links.clear();
    for (const id of [...this.#questions.keys()]) this.#settle(id, null);
  }
}
