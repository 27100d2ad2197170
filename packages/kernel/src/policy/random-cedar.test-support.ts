// Promises Cedar policies and requests at random, the same for the same seed: mostly of fitting types, now and then on purpose not, over a world of two
// known entities and others that nobody knows. Trusts nothing. For differential tests alone.
import { seededRandom } from "../log/seeded-random.ts";

/** Values in Cedar's JSON form. */
export type Json = boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type Node = { readonly [operator: string]: unknown };
type Kind = "boolean" | "long" | "string" | "strings" | "longs" | "entity" | "entities" | "record" | "ip" | "decimal";

export interface World {
  readonly principal: { readonly type: string; readonly id: string };
  readonly resource: { readonly type: string; readonly id: string };
  readonly action: string;
  readonly context: Readonly<Record<string, Json>>;
  readonly attributes: {
    readonly principal: Readonly<Record<string, Json>>;
    readonly resource: Readonly<Record<string, Json>>;
  };
  readonly parents: { readonly principal: readonly Uid[]; readonly resource: readonly Uid[] };
}
interface Uid {
  readonly type: string;
  readonly id: string;
}

const kinds: readonly Kind[] = [
  "boolean",
  "long",
  "string",
  "strings",
  "longs",
  "entity",
  "entities",
  "record",
  "ip",
  "decimal",
];
const texts = ["", "a", "b", "ab", "ba", "aa", "aba", "abab", "b*", "éa", "\u{1f600}", "a\nb", "\\", '"', "*"];
const longs = [0, 1, -1, 2, 7, 3_037_000_500, 4_294_967_296, 9_007_199_254_740_991, -9_007_199_254_740_991];
/** Names by the kind that they mostly have. */
const namesOf: Readonly<Record<Kind, readonly string[]>> = {
  boolean: ["p", "q"],
  long: ["n", "m"],
  string: ["s", "odd name"],
  strings: ["ss"],
  longs: ["ns"],
  entity: ["e", "toString"],
  entities: ["es"],
  record: ["r", "length"],
  ip: ["i"],
  decimal: ["d"],
};
const names = Object.values(namesOf).flat();
/** Of records that are compared: few, so that some are equal. */
const smallNames = ["a", "b"];
const uids: readonly Uid[] = [
  { type: "W", id: "one" },
  { type: "W", id: "two" },
  { type: "R", id: "one" },
  { type: "G", id: "a" },
  { type: "G", id: "b" },
  { type: "N::M", id: "" },
];
const ranges = [
  "10.0.0.0/8",
  "10.1.2.3",
  "10.1.2.3/32",
  "127.0.0.1",
  "127.0.0.0/7",
  "0.0.0.0/0",
  "224.0.0.1",
  "224.0.0.0/3",
  "::1",
  "::1/127",
  "::/0",
  "ff02::1",
  "ff00::/7",
  "2001:db8::/32",
  "2001:0db8:0::1",
];
const branchNames = ["if", "then", "else"];
const decimals = ["0.0", "-0.0", "1.0", "1.0000", "-1.5", "0.0001", "123456789012.3456"];

export class RandomCedar {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  chance(of: number): boolean {
    return this.#random() < of;
  }

  pick<One>(of: readonly One[]): One {
    const one = of[Math.floor(this.#random() * of.length)];
    if (one === undefined) throw new Error("nothing to pick from");
    return one;
  }

  some<One>(max: number, make: () => One): One[] {
    return Array.from({ length: Math.floor(this.#random() * (max + 1)) }, make);
  }

  policy(): Node {
    const scope = () => {
      const uid = this.pick(uids);
      if (this.chance(0.6)) return { op: "All" };
      return this.pick([
        { op: "==", entity: uid },
        { op: "in", entity: uid },
        { op: "is", entity_type: uid.type },
        { op: "is", entity_type: uid.type, in: { entity: this.pick(uids) } },
      ]);
    };
    const action = this.pick([
      { op: "All" },
      { op: "All" },
      { op: "==", entity: { type: "Action", id: "read" } },
      { op: "in", entity: { type: "Action", id: "write" } },
      {
        op: "in",
        entities: [
          { type: "Action", id: "read" },
          { type: "Action", id: "x" },
        ],
      },
    ]);
    const conditions = this.some(3, () => ({
      kind: this.pick(["when", "unless"]),
      body: this.expression("boolean", 4),
    }));
    return {
      effect: this.pick(["permit", "permit", "forbid"]),
      principal: scope(),
      action,
      resource: scope(),
      conditions,
    };
  }

  world(): World {
    const principal = this.pick(uids.slice(0, 2));
    const resource = this.pick(uids.slice(2, 4));
    const record = () =>
      Object.fromEntries(
        kinds
          .flatMap((kind) => namesOf[kind].map((name) => [name, kind] as const))
          .filter(() => this.chance(0.85))
          .map(([name, kind]) => [name, this.value(3, this.chance(0.92) ? kind : this.pick(kinds))]),
      );
    const parents = () => uids.slice(3).filter(() => this.chance(0.3));
    return {
      principal,
      resource,
      action: this.pick(["read", "write", "other"]),
      context: record(),
      attributes: { principal: record(), resource: record() },
      parents: {
        principal: parents().filter((one) => one !== resource),
        resource: parents().filter((one) => one !== resource),
      },
    };
  }

  /** Of any kind, in Cedar's JSON form. */
  value(depth: number, kind = this.pick(depth > 0 ? kinds : kinds.slice(0, 3))): Json {
    switch (kind) {
      case "boolean":
        return this.chance(0.5);
      case "long":
        return this.pick(longs);
      case "string":
        return this.pick(texts);
      case "entity":
        return { __entity: { ...this.pick(uids) } };
      case "ip":
        return { __extn: { fn: "ip", arg: this.pick(ranges) } };
      case "decimal":
        return { __extn: { fn: "decimal", arg: this.pick(decimals) } };
      case "record":
        if (this.chance(0.5))
          return Object.fromEntries(this.some(2, () => [this.pick(smallNames), this.pick([1, true])]));
        return Object.fromEntries(this.some(3, () => [this.pick(names), this.value(depth - 1)]));
      case "strings":
        return this.some(3, () => this.pick(texts));
      case "longs":
        return this.some(3, () => this.pick(longs));
      default:
        return this.some(3, () => (this.chance(0.95) ? { __entity: { ...this.pick(uids) } } : this.value(depth - 1)));
    }
  }

  /** Of this kind, or one time in thirty of another. */
  expression(wanted: Kind, depth: number): Node {
    const kind = this.chance(1 / 30) ? this.pick(kinds) : wanted;
    if (depth <= 0) return this.#leaf(kind);
    if (this.chance(0.35)) return this.#read(kind, depth);
    if (this.chance(0.08))
      return {
        "if-then-else": this.#branches(kind, depth),
      };
    switch (kind) {
      case "boolean":
        return this.#test(depth);
      case "long":
        return this.chance(0.2)
          ? { neg: { arg: this.#of("long", depth) } }
          : { [this.pick(["+", "-", "*"])]: this.#pair("long", "long", depth) };
      case "strings":
        return { Set: this.some(3, () => this.#of("string", depth)) };
      case "longs":
        return { Set: this.some(3, () => this.#of("long", depth)) };
      case "entities":
        return { Set: this.some(3, () => this.#of("entity", depth)) };
      case "record":
        return {
          Record: Object.fromEntries(this.some(3, () => [this.pick(names), this.#of(this.pick(kinds), depth)])),
        };
      default:
        return this.#leaf(kind);
    }
  }

  #branches(kind: Kind, depth: number): Node {
    const of = ["boolean", kind, kind] as const;
    return Object.fromEntries(branchNames.map((name, at) => [name, this.#of(of[at] ?? kind, depth)]));
  }

  #of(kind: Kind, depth: number): Node {
    return this.expression(kind, depth - 1);
  }

  #pair(left: Kind, right: Kind, depth: number): Node {
    return { left: this.#of(left, depth), right: this.#of(right, depth) };
  }

  #test(depth: number): Node {
    const kind = this.pick(kinds);
    const set = this.pick(["strings", "longs", "entities"] as const);
    const member = ({ strings: "string", longs: "long", entities: "entity" } as const)[set];
    const make = this.pick<() => Node>([
      () => ({ [this.pick(["&&", "||"])]: this.#pair("boolean", "boolean", depth) }),
      () => ({ [this.pick(["&&", "||"])]: this.#pair("boolean", "boolean", depth) }),
      () => ({ "!": { arg: this.#of("boolean", depth) } }),
      () => ({ [this.pick(["==", "!="])]: this.#pair(kind, kind, depth) }),
      () => ({ [this.pick(["<", "<=", ">", ">="])]: this.#pair("long", "long", depth) }),
      () => ({ [this.pick(["<", ">=", "==", "!="])]: this.#pair("long", "long", depth) }),
      () => ({ [this.pick(["==", "!="])]: this.#pair("record", "record", depth) }),
      () => ({ like: { left: this.#of("string", depth), pattern: this.#pattern() } }),
      () => ({ contains: this.#pair(set, member, depth) }),
      () => ({ [this.pick(["containsAll", "containsAny"])]: this.#pair(set, set, depth) }),
      () => ({ isEmpty: { arg: this.#of(set, depth) } }),
      () => ({ has: { left: this.#of(this.pick(["record", "entity"]), depth), attr: this.#path() } }),
      () => ({ in: this.#pair("entity", this.pick(["entity", "entities"]), depth) }),
      () => ({ is: { left: this.#of("entity", depth), entity_type: this.pick(uids).type } }),
      () => ({
        is: { left: this.#of("entity", depth), entity_type: this.pick(uids).type, in: this.#of("entity", depth) },
      }),
      () => ({ like: { left: this.#of("string", depth), pattern: this.#pattern() } }),
      () => ({ [this.pick(["isIpv4", "isIpv6", "isLoopback", "isMulticast"])]: [this.#of("ip", depth)] }),
      () => ({ isInRange: [this.#of("ip", depth), this.#of("ip", depth)] }),
      () => ({
        [this.pick(["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"])]: [
          this.#of("decimal", depth),
          this.#of("decimal", depth),
        ],
      }),
    ]);
    return make();
  }

  /** One name, or several where each can be written without quotes. */
  #path(): string | readonly string[] {
    return this.chance(0.3) ? [this.pick(["r", "e", "n"]), this.pick(["a", "b", "s"])] : this.pick(names);
  }

  #pattern(): readonly unknown[] {
    return this.some(4, () =>
      this.pick<unknown>([
        "Wildcard",
        { Literal: "a" },
        { Literal: "b" },

        { Literal: "*" },
        { Literal: "\u{1f600}" },
      ]),
    );
  }

  #read(kind: Kind, depth: number): Node {
    const attr = this.pick(this.chance(0.95) ? namesOf[kind] : names);
    if (this.chance(0.05)) return { ".": { left: this.#of("record", depth), attr: this.pick(smallNames) } };
    return { ".": { left: { Var: this.pick(["context", "context", "principal", "resource"]) }, attr } };
  }

  #leaf(kind: Kind): Node {
    switch (kind) {
      case "boolean":
        return { Value: this.chance(0.5) };
      case "long":
        return { Value: this.pick(longs) };
      case "string":
        return { Value: this.pick(texts) };
      case "entity":
        return this.chance(0.6)
          ? { Var: this.pick(["principal", "resource", "action"]) }
          : { Value: { __entity: { ...this.pick(uids) } } };
      case "record":
        return { Var: "context" };
      case "ip":
        return { ip: [{ Value: this.pick(ranges) }] };
      case "decimal":
        return { decimal: [{ Value: this.pick(decimals) }] };
      default:
        return {
          Set: this.some(2, () =>
            this.#leaf(({ strings: "string", longs: "long", entities: "entity" } as const)[kind]),
          ),
        };
    }
  }
}
