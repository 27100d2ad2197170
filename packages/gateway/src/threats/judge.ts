// Promises which rules the texts of a request break and where, in a bounded time that grows with them, and never what a text says. Trusts the rules to be
// linear. Pure. Specified in docs/threats.md.
import { type ThreatRule, type ThreatsObject, threatRules } from "@sallyport/protocol/snapshot/threat-rule.ts";
import { fold, layersMax, overlong, unwrap } from "./fold.ts";
import { isPrototypePath, nameRules } from "./names.ts";
import { type Kind, textRules } from "./texts.ts";

/** Texts of one request, names among them. */
export const textsMax = 65_536;
/** Characters of all of them. */
export const charactersMax = 1_048_576;

export interface FoundThreat {
  readonly rule: ThreatRule;
  // Like `query:q`, `path:id`, `header:x-note`, `body:/lines/*/note`: made of plain names alone.
  readonly at: string;
}

/** Letters, digits and spaces, with single dots, colons, signs between them: no rule but those of whole words finds anything there. */
const plain = /^[\w @,-]*(?:[.:][\w @,-]+)*$/;
const words = /union|waitfor|order by|group by|shutdown|xp_|__|prototype/i;
const plainName = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;

/** A name as a place has it: what is no plain name is a text that a caller chose. */
export const placeName = (name: string): string => (plainName.test(name) ? name : "?");

/** Judges one request: as many texts as come, the first place of each rule. */
export class Judge {
  readonly #asked: ReadonlySet<ThreatRule>;
  readonly #except: ThreatsObject["except"];
  readonly #found = new Map<ThreatRule, string>();
  #texts = 0;
  #characters = 0;

  constructor({ block, shadow, except }: ThreatsObject) {
    this.#asked = new Set([...block, ...shadow]);
    this.#except = except;
  }

  /** Nothing more is looked at. */
  get isFull(): boolean {
    return this.#texts > textsMax || this.#characters > charactersMax;
  }

  /** In the order of the rules. */
  get found(): readonly FoundThreat[] {
    return threatRules.flatMap((rule) => {
      const at = this.#found.get(rule);
      return at === undefined ? [] : [{ rule, at }];
    });
  }

  text(raw: string, at: string, kind: Kind): void {
    if (!this.#hasRoom(raw, at)) return;
    if (plain.test(raw) && !words.test(raw)) return;
    this.#run(raw, at, kind);
    this.#runUnwrapped(raw, at, kind);
  }

  /** The name of a member or parameter; `at` is where it stands. */
  name(raw: string, at: string, value?: unknown): void {
    if (!this.#hasRoom(raw, at)) return;
    if (value !== undefined && isPrototypePath(raw, value)) this.#add("prototype-pollution", at);
    if (plain.test(raw) && !words.test(raw)) return;
    const folded = fold(unwrap(raw));
    for (const [rule, isFound] of nameRules) if (this.#isOpen(rule, at) && isFound(folded)) this.#add(rule, at);
    this.#run(raw, at, "parameter");
    this.#runUnwrapped(raw, at, "parameter");
  }

  #run(raw: string, at: string, kind: Kind): void {
    const folded = fold(raw);
    for (const [rule, isFound] of textRules) if (this.#isOpen(rule, at) && isFound(folded, kind)) this.#add(rule, at);
  }

  /** What a text says only once escapes are taken off that its transport does not have. */
  #runUnwrapped(raw: string, at: string, kind: Kind): void {
    if (this.#isOpen("double-encoding", at) && this.#hidesSomething(raw, at, kind)) this.#add("double-encoding", at);
  }

  #hidesSomething(raw: string, at: string, kind: Kind): boolean {
    const rules = textRules.filter(([rule]) => this.#asked.has(rule) && !this.#isExcepted(rule, at));
    let text = raw;
    for (let layers = 0; ; layers++) {
      const next = unwrap(text);
      if (next === text) return overlong.test(raw);
      if (layers === layersMax) return true;
      text = next;
      const folded = fold(text);
      if (rules.some(([, isFound]) => isFound(folded, kind))) return true;
    }
  }

  #hasRoom(raw: string, at: string): boolean {
    this.#texts++;
    this.#characters += raw.length;
    if (!this.isFull) return true;
    this.#add("not-judged", at);
    return false;
  }

  /** Is there anything to find out about this rule here? */
  #isOpen(rule: ThreatRule, at: string): boolean {
    return this.#asked.has(rule) && !this.#found.has(rule) && !this.#isExcepted(rule, at);
  }

  #isExcepted(rule: ThreatRule, at: string): boolean {
    return this.#except.length > 0 && this.#except.some((one) => one.rule === rule && one.at === at);
  }

  #add(rule: ThreatRule, at: string): void {
    if (this.#isOpen(rule, at)) this.#found.set(rule, at);
  }
}
