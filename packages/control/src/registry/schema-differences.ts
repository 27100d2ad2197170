// Promises what differs between two JSON Schemas, in words and by place, bounded; equal schemas differ in nothing. Pure. Trusts body-schema.ts to have
// accepted both. It reads members that say something of a value one by one; whatever else differs is said to differ. Specified in docs/cli/plan.md.

type Schema = Readonly<Record<string, unknown>>;

/** Differences said of one pair; the rest is counted. */
export const saidMax = 12;
const depthMax = 24;
const placesMax = 4_000;
const wordMax = 60;

/** `$.amount: \`maximum\` is 50, was 100`. */
export function schemaDifferences(before: unknown, after: unknown): readonly string[] {
  if (spelled(before) === spelled(after)) return [];
  const found = new Differences(before, after);
  found.compare("$", before, after, 0);
  const said = found.said.slice(0, saidMax);
  if (said.length === 0) return ["rules differ that are not told apart here"];
  const more = found.said.length - said.length;
  return more === 0 ? said : [...said, `and ${more} more`];
}

/** Members whose schemas stand for the same place again. */
const branches = ["allOf", "anyOf", "oneOf"] as const;

class Differences {
  readonly said: string[] = [];
  readonly #before: unknown;
  readonly #after: unknown;
  readonly #pairs = new Set<string>();

  constructor(before: unknown, after: unknown) {
    this.#before = before;
    this.#after = after;
  }

  compare(place: string, before: unknown, after: unknown, depth: number): void {
    if (depth > depthMax || this.#pairs.size > placesMax || this.said.length > 10 * saidMax) return;
    const pair = `${referenceOf(before)} ${referenceOf(after)}`;
    if (pair !== "undefined undefined" && this.#pairs.has(pair)) return;
    this.#pairs.add(pair === "undefined undefined" ? place : pair);
    const [old, now] = [resolved(this.#before, before), resolved(this.#after, after)];
    if (!isSchema(old) || !isSchema(now)) {
      if (spelled(old) !== spelled(now)) this.said.push(`${place}: ${allows(now)} is accepted, was ${allows(old)}`);
      return;
    }
    this.#members(place, { old, now, depth });
    this.#items(place, { old, now, depth });
    for (const [key, value] of union(old, now))
      if (!handled.has(key) && spelled(value.old) !== spelled(value.now))
        this.said.push(`${place}: ${rule(key, value.old, value.now)}`);
  }

  #members(place: string, { old, now, depth }: Pair): void {
    const required = [namesOf(old["required"]), namesOf(now["required"])] as const;
    for (const name of required[1]) if (!required[0].has(name)) this.said.push(`${place}: requires ${word(name)}`);
    for (const name of required[0])
      if (!required[1].has(name)) this.said.push(`${place}: requires ${word(name)} no more`);
    for (const [name, value] of union(membersOf(old["properties"]), membersOf(now["properties"]))) {
      if (value.old === undefined) this.said.push(`${place}: knows ${word(name)}`);
      else if (value.now === undefined) this.said.push(`${place}: knows ${word(name)} no more`);
      else this.compare(`${place}.${name.slice(0, wordMax)}`, value.old, value.now, depth + 1);
    }
    const [was, is] = [old["additionalProperties"], now["additionalProperties"]];
    if (isSchema(was) && isSchema(is)) this.compare(`${place}.*`, was, is, depth + 1);
    else if (spelled(was) !== spelled(is))
      this.said.push(
        `${place}: ${is === false ? "refuses" : "takes"} other members${is === false || was === false ? "" : " by another rule"}`,
      );
  }

  #items(place: string, { old, now, depth }: Pair): void {
    const [was, is] = [old["items"], now["items"]];
    if (was !== undefined && is !== undefined) this.compare(`${place}[*]`, was, is, depth + 1);
    else if (spelled(was) !== spelled(is))
      this.said.push(`${place}: its items ${is === undefined ? "may be anything" : "have a rule"}`);
    for (const key of branches) {
      const [before, after] = [listOf(old[key]), listOf(now[key])];
      if (before.length !== after.length)
        this.said.push(`${place}: ${word(key)} has ${after.length} alternatives, had ${before.length}`);
      else for (const [index, one] of before.entries()) this.compare(place, one, after[index], depth + 1);
    }
  }
}

interface Pair {
  readonly old: Schema;
  readonly now: Schema;
  readonly depth: number;
}

const handled: ReadonlySet<string> = new Set([
  "$defs",
  "$ref",
  "required",
  "properties",
  "additionalProperties",
  "items",
  ...branches,
]);

/** One member that differs: what it says now, and what it said. */
function rule(key: string, old: unknown, now: unknown): string {
  if (key === "enum" && Array.isArray(old) && Array.isArray(now)) {
    const [gone, come] = [missing(old, now), missing(now, old)];
    const parts = [
      ...(come.length === 0 ? [] : [`also ${come.map(value).join(", ")}`]),
      ...(gone.length === 0 ? [] : [`${gone.map(value).join(", ")} no more`]),
    ];
    return parts.length === 0 ? "the order of its values differs" : `takes ${parts.join(", and ")}`;
  }
  if (now === undefined) return `${word(key)} is said no more, was ${value(old)}`;
  return old === undefined ? `${word(key)} is ${value(now)}` : `${word(key)} is ${value(now)}, was ${value(old)}`;
}

const missing = (from: readonly unknown[], others: readonly unknown[]): readonly unknown[] =>
  from.filter((one) => !others.some((other) => spelled(one) === spelled(other))).slice(0, 8);

const value = (one: unknown): string => `${JSON.stringify(one) ?? "absent"}`.slice(0, wordMax);
const word = (name: string): string => `\`${name.slice(0, wordMax)}\``;
const allows = (one: unknown): string => (one === false ? "nothing" : one === true ? "anything" : "a schema");

function union(
  old: Schema,
  now: Schema,
): readonly (readonly [string, { readonly old: unknown; readonly now: unknown }])[] {
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .sort()
    .map((key) => [key, { old: old[key], now: now[key] }]);
}

function isSchema(one: unknown): one is Schema {
  return typeof one === "object" && one !== null && !Array.isArray(one);
}

const membersOf = (one: unknown): Schema => (isSchema(one) ? one : {});
const listOf = (one: unknown): readonly unknown[] => (Array.isArray(one) ? one : []);
const namesOf = (one: unknown): ReadonlySet<string> => new Set(listOf(one).filter((name) => typeof name === "string"));
const referenceOf = (one: unknown): unknown => (isSchema(one) ? one["$ref"] : undefined);

/** A schema whose `$ref` is all it says, or stands beside other members, with what it leads to. */
function resolved(root: unknown, one: unknown): unknown {
  const reference = referenceOf(one);
  if (!isSchema(one) || typeof reference !== "string" || !reference.startsWith("#/$defs/")) return one;
  const definitions = membersOf(isSchema(root) ? root["$defs"] : undefined);
  const name = reference.slice("#/$defs/".length);
  const target = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
  const { $ref: _, ...beside } = one;
  return isSchema(target) ? { ...target, ...beside } : one;
}

/** One spelling per value, whatever the order of its members. */
function spelled(one: unknown): string {
  return (
    JSON.stringify(one, (_key, member: unknown) =>
      isSchema(member) ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1))) : member,
    ) ?? "absent"
  );
}
