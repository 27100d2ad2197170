// Promises that nothing passes unrecorded: every method resolves only when its leaf is durable and rejects when it cannot be, so that its caller
// can let nothing go. Trusts the log handle for durability and the log keys for pseudonyms and sealing; puts nothing personal and no text a
// caller chose into a leaf. Byte-exact in docs/formats/leaf.md.
import { hash } from "node:crypto";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { pseudonymize } from "@sallyport/kernel/seal/pseudonym.ts";
import { createRecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import type {
  BufferedFields,
  DecisionFields,
  Leaf,
  OutcomeFields,
  PayloadFields,
  Pseudonym,
  SettledFields,
  TallyFields,
  UnkeptFields,
} from "@sallyport/protocol/audit/leaf.ts";
import { printLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { type LeafMold, moldLeaf, outcomePrinter, withToken } from "@sallyport/protocol/audit/leaf-mold.ts";
import type { Deny, Outcome } from "@sallyport/protocol/verdict.ts";
import { questionOperation } from "../authorizer/question-operation.ts";
import type { Exchange } from "../exchange.ts";
import { modeOf } from "../observe/decide-pass.ts";
import type { GatewayIdentity, OpenLogKeys } from "../ports.ts";
import { receiptOperation } from "../receipts/receipt-path.ts";
import { refreshOperation } from "../streams/stream-path.ts";
import { type CountedDenials, DenialWindows } from "./denial-windows.ts";
import { intentLeaf, type LeafPlace, wholeLeaf } from "./leaves.ts";
import { afterVerdict, referenceOf } from "./reference.ts";
import { type Printed, printInputs, Repeated } from "./repeated.ts";
import { SealedRecords, type UnsealedLeaf } from "./sealed-records.ts";
import type { Tallies } from "./tallies.ts";

/** How the crossing ended, as far as the recorder cannot see it in the exchange. */
export interface Ended {
  readonly outcome: Outcome;
  /** Status sent to the caller; 0 when none was. */
  readonly status: number;
  readonly upstreamStatus: number;
  readonly upstreamMs: number;
  /** What stopped it, if anything did. */
  readonly deny: Deny | null;
}

export interface RecorderPorts {
  readonly identity: GatewayIdentity;
  readonly log: LogHandle;
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: () => string;
  /** Hears how each crossing ended that the listeners saw. */
  readonly tallies: Pick<Tallies, "told">;
}

/** Pseudonyms kept of each domain, so that a busy caller costs one HMAC and not one per crossing. */
const pseudonymsMax = 2_500;

type Domain = "caller" | "subject" | "data-subject" | "token" | "address" | "prefix" | "path";
type Pseudonyms = Readonly<Record<Domain, Map<string, Pseudonym>>>;

const noPseudonyms = (): Pseudonyms => ({
  caller: new Map(),
  subject: new Map(),
  "data-subject": new Map(),
  token: new Map(),
  address: new Map(),
  prefix: new Map(),
  path: new Map(),
});

/** Leaves that are about no one crossing. */
export type OwnFields =
  | ({ readonly t: "tally" } & TallyFields)
  | ({ readonly t: "buffered" } & BufferedFields)
  | ({ readonly t: "settled" } & SettledFields);

export class RecordFault extends Error {
  readonly code = "record-unavailable";
  readonly public = "The crossing could not be recorded";
}

export class Recorder {
  readonly #ports: RecorderPorts;
  readonly #windows: DenialWindows;
  readonly #place: LeafPlace;
  readonly #printOutcome: ReturnType<typeof outcomePrinter>;
  #keys: { readonly open: OpenLogKeys; readonly records: SealedRecords } | null = null;
  /** Of the epoch before, so that the turn of the year takes nobody's receipts away; a restart forgets it. */
  #formerKeys: OpenLogKeys | null = null;
  #pseudonyms = noPseudonyms();
  #repeated = new Repeated();
  /** Counted leaves on their way to the disk. */
  readonly #counting = new Set<Promise<unknown>>();
  /** Counted leaves that could not be appended; shown by metrics. */
  lost = 0;

  constructor(ports: RecorderPorts) {
    this.#ports = ports;
    const { tenant, environment, region, node } = ports.identity;
    this.#place = { tenant, environment, region, node };
    this.#printOutcome = outcomePrinter(this.#place);
    this.#windows = new DenialWindows({
      clock: ports.clock,
      flush: (counted) => this.#keep(this.#appendCounted(counted)),
    });
  }

  get ready(): boolean {
    return this.#keys !== null;
  }

  /** Takes log keys into use; from now on leaves name their epoch. */
  useKeys(open: OpenLogKeys): void {
    this.#keys?.records.end();
    if (this.#keys !== null && this.#keys.open.epoch !== open.epoch) this.#formerKeys = this.#keys.open;
    this.#pseudonyms = noPseudonyms();
    // What was printed holds pseudonyms of the former keys.
    this.#repeated = new Repeated();
    const { random, clock, log } = this.#ports;
    const sealer = createRecipientSealer({ recipient: open.referenceRecipient, random, clock });
    this.#keys = { open, records: new SealedRecords(log, this.#place, sealer) };
  }

  /** One whole crossing: allowed or denied, with its outcome. */
  crossing(exchange: Exchange, ended: Ended): Promise<unknown> {
    if (ended.deny === null) {
      const repeated = this.#appendRepeated(exchange, this.#outcome(exchange, ended));
      if (repeated !== null) return repeated;
    }
    const leaf = wholeLeaf(this.#place, this.#ports.clock.now(), {
      decision: this.#decision(exchange, ended.deny),
      outcome: this.#outcome(exchange, ended),
    });
    return this.#appendSealed(exchange, ended.deny, leaf);
  }

  /** Durable before an effect is forwarded or a byte of a long answer released. */
  intent(exchange: Exchange): Promise<unknown> {
    const repeated = this.#appendRepeated(exchange, null);
    if (repeated !== null) return repeated;
    const leaf = intentLeaf(this.#place, this.#ports.clock.now(), this.#decision(exchange, null));
    return this.#appendSealed(exchange, null, leaf);
  }

  outcome(exchange: Exchange, ended: Ended): Promise<unknown> {
    if (this.#keys === null) return noLogKeys();
    const { deny } = ended;
    const { messagesIn, messagesOut } = exchange;
    const fields = this.#outcome(exchange, ended);
    if (deny === null && messagesIn === 0 && messagesOut === 0)
      return this.#ports.log.append(this.#printOutcome(exchange.id, this.#ports.clock.now(), fields));
    const why = { code: deny?.code ?? null, stage: deny?.stage ?? null, messagesIn, messagesOut };
    return this.#append({ t: "outcome", ...this.#head(exchange.id), ...fields, ...why });
  }

  progress(exchange: Exchange): Promise<unknown> {
    return this.#append({
      t: "progress",
      ...this.#head(exchange.id),
      bytesIn: exchange.bytesIn,
      bytesOut: exchange.bytesOut,
    });
  }

  /** What the crossing carried, kept as `sealed`, which this leaf names. */
  payload(
    { id }: Pick<Exchange, "id">,
    fields: Omit<PayloadFields, "content" | "bytes">,
    sealed: Uint8Array,
  ): Promise<unknown> {
    const { direction, dataSubject, key, endsAt } = fields;
    const named = { content: hash("sha256", sealed, "hex"), bytes: sealed.length };
    return this.#append({ t: "payload", ...this.#head(id), direction, dataSubject, key, ...named, endsAt }, sealed);
  }

  /** What the crossing carried was to be kept and is not. */
  unkept({ id }: Pick<Exchange, "id">, fields: Omit<UnkeptFields, "id">): Promise<unknown> {
    return this.#append({ t: "unkept", ...this.#head(id), ...fields });
  }

  /** null: the denial of a stranger gets a leaf of its own; else it is counted, under the id given back. */
  countStranger(exchange: Exchange, code: Deny["code"]): string | null {
    const counted = this.#windows.count(exchange.source.prefix, code, exchange);
    if (counted !== null) this.#ports.tallies.told(exchange.window, "counted");
    return counted;
  }

  /** A crossing of which no record could be made: it was refused for that. */
  refused(exchange: Exchange): void {
    this.#ports.tallies.told(exchange.window, "refused");
  }

  /** What the gateway says of itself (tallies.ts, early-answers.ts); needs no log keys. */
  own(fields: OwnFields): Promise<unknown> {
    return this.#ports.log.append(printLeafText({ ...this.#head(this.#ports.newId()), ...fields }));
  }

  /** Appends the counted denials of crossings that were seen in windows before this one. */
  flushDenials(before: number): void {
    this.#windows.flush(before);
  }

  /** Resolves when every counted leaf that was begun is durable or lost. */
  async countedOnDisk(): Promise<void> {
    await Promise.all(this.#counting);
  }

  #keep(appended: Promise<void>): void {
    const over = appended.catch(() => this.lost++).finally(() => this.#counting.delete(over));
    this.#counting.add(over);
  }

  /** Ends denial windows whose time is over (`all`: every one). */
  sweep(all = false): void {
    this.#windows.sweep(all);
  }

  #head(id: string) {
    return { ...this.#place, id, at: this.#ports.clock.now() };
  }

  async #appendCounted({ id, code, count, windowMs, prefix }: CountedDenials): Promise<void> {
    await this.#append({
      t: "denials",
      ...this.#head(id),
      code,
      prefix: this.pseudonym("prefix", prefix),
      count,
      windowMs,
    });
  }

  #append(leaf: Leaf, reference?: Uint8Array): Promise<unknown> {
    if (this.#keys === null) return noLogKeys();
    return this.#ports.log.append(printLeafText(leaf), reference);
  }

  /** An allowed crossing under enforcement, from what it has in common with others; null: it has to be printed by itself. */
  #appendRepeated(exchange: Exchange, outcome: OutcomeFields | null): Promise<unknown> | null {
    const records = this.#keys?.records;
    if (records === undefined || exchange.wouldDeny !== null || modeOf(exchange) !== "enforce") return null;
    // What is said of its attempts, or of whose repeat it is, is said of no other.
    if (exchange.attempts !== null || exchange.claim?.replay) return null;
    const printed = this.#repeated.find(exchange);
    if (printed === null) return null;
    const inputs = printInputs(printed, exchange);
    const mold = this.#mold(printed, exchange, outcome);
    const cast = { mold, id: exchange.id, at: this.#ports.clock.now(), outcome };
    return this.#add({ records, exchange, inputs }, cast);
  }

  #mold({ molds, isOfOther }: Printed, exchange: Exchange, outcome: OutcomeFields | null): LeafMold {
    const t = outcome === null ? "intent" : "crossing";
    molds[t] ??= moldLeaf(this.#leaf(exchange, outcome));
    const token = exchange.principal?.tokenId;
    return isOfOther && token !== undefined ? withToken(molds[t], this.pseudonym("token", token)) : molds[t];
  }

  #leaf(exchange: Exchange, outcome: OutcomeFields | null): UnsealedLeaf {
    const decision = this.#decision(exchange, null);
    return outcome === null ? intentLeaf(this.#place, 0, decision) : wholeLeaf(this.#place, 0, { decision, outcome });
  }

  #appendSealed(exchange: Exchange, denied: Deny | null, leaf: UnsealedLeaf): Promise<unknown> {
    const records = this.#keys?.records;
    if (records === undefined) return noLogKeys();
    const inputs = JSON.stringify(referenceOf(exchange, denied));
    return this.#add({ records, exchange, inputs }, leaf);
  }

  #add(
    { records, exchange, inputs }: { records: SealedRecords; exchange: Exchange; inputs: string },
    leaf: Parameters<SealedRecords["add"]>[0],
  ): Promise<unknown> {
    const how = ("mold" in leaf ? leaf.mold.t : leaf.t) === "intent" ? "intents" : "crossings";
    return new Promise((resolve, reject) =>
      records.add(leaf, inputs, {
        resolve: (receipt) => {
          this.#ports.tallies.told(exchange.window, how);
          resolve(receipt);
        },
        reject,
      }),
    );
  }

  /** As leaves hold it. Throws RecordFault without log keys. */
  pseudonym(domain: Domain, value: string): Pseudonym {
    if (this.#keys === null) throw new RecordFault("no log keys");
    const known = this.#pseudonyms[domain];
    const found = known.get(value);
    if (found !== undefined) return found;
    const { pseudonymKey, epoch } = this.#keys.open;
    const fresh = pseudonymize(pseudonymKey, epoch, domain, value);
    if (known.size >= pseudonymsMax) known.clear();
    known.set(value, fresh);
    return fresh;
  }

  /** Does a pseudonym of a leaf stand for this value? Of an epoch whose key is not at hand it stands for nothing. */
  isPseudonymOf(pseudonym: Pseudonym, domain: Domain, value: string): boolean {
    const epoch = pseudonym.slice(0, pseudonym.indexOf(":"));
    const keys = [this.#keys?.open, this.#formerKeys].find((one) => one?.epoch === epoch);
    return keys !== undefined && keys !== null && pseudonymize(keys.pseudonymKey, epoch, domain, value) === pseudonym;
  }

  #decision(exchange: Exchange, denied: Deny | null): DecisionFields & { inputs: null } {
    const { principal, grant, source, wouldDeny } = exchange;
    // A fault of forward or record comes after the verdict: the crossing was allowed.
    const isEnforced = denied !== null && !afterVerdict.has(denied.stage);
    // What ended the crossing was enforced, whatever had passed before.
    const mode = isEnforced ? "enforce" : modeOf(exchange);
    const said = isEnforced ? denied : (wouldDeny ?? denied);
    const decision: DecisionFields & { inputs: null; issuer?: string | null; token?: Pseudonym } = {
      id: exchange.id,
      kind: "api",
      caller: principal === null ? null : this.pseudonym("caller", principal.caller),
      subject: principal?.subject === undefined ? null : this.pseudonym("subject", principal.subject),
      proof: principal?.proof.kind ?? null,
      operation: principal === null && wouldDeny === null ? null : operationOf(exchange),
      integration: grant?.integration.id ?? null,
      mode,
      verdict: isEnforced || wouldDeny !== null ? "deny" : "allow",
      code: said?.code ?? null,
      stage: said?.stage ?? null,
      policies: exchange.policies.length > policiesMax ? exchange.policies.slice(0, policiesMax) : exchange.policies,
      policySet: exchange.lease?.estate.object.policySet ?? null,
      inputs: null,
      address: source.address === "" ? null : this.pseudonym("address", source.address),
      addressClass: source.addressClass,
    };
    const tokenId = principal === null ? exchange.signedTokenId : principal.tokenId;
    if (tokenId !== undefined && tokenId !== null) {
      decision.issuer = principal?.issuer ?? null;
      decision.token = this.pseudonym("token", tokenId);
    }
    return decision;
  }

  #outcome(exchange: Exchange, ended: Ended): OutcomeFields {
    return {
      outcome: ended.outcome,
      status: ended.status,
      upstreamStatus: ended.upstreamStatus,
      bytesIn: exchange.bytesIn,
      bytesOut: exchange.bytesOut,
      totalUs: Math.max(0, Math.round((this.#ports.clock.monotonic() - exchange.startedMonotonicMs) * 1000)),
      upstreamUs: Math.max(0, Math.round(ended.upstreamMs * 1000)),
    };
  }
}

function noLogKeys(): Promise<never> {
  return Promise.reject(new RecordFault("no log keys"));
}

/** As leaves name what was asked for. */
function operationOf({ receiptOf, streamOf, operation, asked }: Exchange): string | null {
  if (asked === "services") return questionOperation;
  if (streamOf !== null) return refreshOperation;
  return receiptOf === null ? (operation?.fullName ?? null) : receiptOperation;
}

const policiesMax = 64;
