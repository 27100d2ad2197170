// Promises the witnesses of an estate, each entry by itself: a broken one is named and left out, and takes no other and no environment with it.
// Trusts the types (witnesses-schema.ts). Specified in docs/witnesses.md "Witnesses in the estate".
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import type { z } from "zod";
import type { OutsideWitnessConfig, WitnessedLogConfig, WitnessesConfig } from "./estate.ts";
import { compareText, errorAt, type Finding } from "./finding.ts";
import { needsPrivateWord } from "./private-hosts.ts";
import { shape } from "./shape.ts";
import { outsideMax, outsideSchema, quorumSchema, witnessedLogSchema, witnessedLogsMax } from "./witnesses-schema.ts";
import { refuseId } from "./words.ts";
import { type MapEntry, type MapTree, spotOf, type Tree } from "./yaml-tree.ts";

export interface ReadWitnesses {
  /** Null: nothing is said of witnesses. */
  readonly witnesses: WitnessesConfig | null;
  /** Object -> what is wrong with it: `witness/<id>`, `witnessed-log/<id>`, `witnesses/quorum`. */
  readonly findings: readonly { readonly object: string; readonly finding: Finding }[];
}

/** Words that a policy (C2SP tlog-policy) made of the estate needs for itself. */
const policyWords: ReadonlySet<string> = new Set(["control", "outside", "none"]);

type Say = (object: string, ...findings: readonly Finding[]) => void;

/** `tree`: the value of `witnesses`. */
export function readWitnesses(tree: Tree | undefined): ReadWitnesses {
  const findings: { object: string; finding: Finding }[] = [];
  const say: Say = (object, ...found) => {
    for (const finding of found) findings.push({ object, finding });
  };
  if (tree === undefined || tree.kind !== "map") {
    if (tree !== undefined && !(tree.kind === "scalar" && tree.value === null))
      say("witnesses/quorum", errorAt(tree.at, "expected a map", "write `outside:` and its witnesses below, indented"));
    return { witnesses: null, findings };
  }
  const outside = entries(tree, { section: "outside", kind: "witness", max: outsideMax }, say).flatMap((entry) =>
    readOutside(entry, say),
  );
  const logs = entries(tree, { section: "logs", kind: "witnessed-log", max: witnessedLogsMax }, say).flatMap((entry) =>
    readLog(entry, say),
  );
  const own: MapTree = { ...tree, entries: new Map([...tree.entries].filter(([key]) => !sections.has(key))) };
  const rest = shape(quorumSchema, own);
  say("witnesses/quorum", ...rest.findings);
  return {
    witnesses: {
      // Where it cannot be read nothing weaker than all of them is enough.
      quorum: rest.value?.quorum ?? "all",
      outside: eachOnce(outside, { claim: ({ key }) => keyBytes(key), says: "the key of" }, say),
      logs: eachOnce(logs, { claim: originOf, says: "the origin of" }, say),
    },
    findings,
  };
}

const sections: ReadonlySet<string> = new Set(["outside", "logs"]);

interface Named {
  readonly id: string;
  readonly object: string;
  readonly entry: MapEntry;
}

function entries(
  tree: MapTree,
  { section, kind, max }: { readonly section: string; readonly kind: string; readonly max: number },
  say: Say,
): readonly Named[] {
  const value = tree.entries.get(section)?.value;
  if (value === undefined || (value.kind === "scalar" && value.value === null)) return [];
  if (value.kind !== "map") {
    say(`${kind}/${section}`, errorAt(value.at, "expected a map", "write `<name>:` and its keys below, indented"));
    return [];
  }
  const all = [...value.entries].sort(([a], [b]) => compareText(a, b));
  return all.flatMap(([id, entry], index) => {
    const object = `${kind}/${id}`;
    const refused = refuseId(id) ?? reserved(id);
    if (refused !== null) say(object, errorAt(entry.keyAt, refused.refused, refused.fix));
    else if (index >= max) say(object, errorAt(entry.keyAt, `more than ${max}`, `keep at most ${max}`));
    else return [{ id, object, entry }];
    return [];
  });
}

const reserved = (id: string) =>
  policyWords.has(id) ? { refused: `\`${id}\` is a word of policies`, fix: "choose another name" } : null;

interface Read<T> {
  readonly config: T;
  readonly named: Named;
}

function read<S extends z.ZodType>(schema: S, { object, entry }: Named, say: Say): z.output<S> | null {
  const shaped = shape(schema, entry.value);
  say(object, ...shaped.findings);
  return shaped.value;
}

function readOutside(named: Named, say: Say): readonly Read<OutsideWitnessConfig>[] {
  const value = read(outsideSchema, named, say);
  if (value === null) return [];
  if (!value.allowPrivate && needsPrivateWord(new URL(value.url).hostname)) {
    const at = spotOf(named.entry.value, ["url"]);
    const fix = "add `allowPrivate: true` if that is meant";
    say(named.object, errorAt(at, "the URL leads to a private or loopback address", fix));
    return [];
  }
  return [{ config: { id: named.id, ...value }, named }];
}

function readLog(named: Named, say: Say): readonly Read<WitnessedLogConfig>[] {
  const value = read(witnessedLogSchema, named, say);
  if (value === null) return [];
  if (value.everyYear && !/\/\d{4}$/.test(nameOf(value.key))) {
    const at = spotOf(named.entry.value, ["everyYear"]);
    say(named.object, errorAt(at, "the key's name does not end in a year", "remove `everyYear`"));
    return [];
  }
  return [{ config: { id: named.id, ...value }, named }];
}

/** What two entries both claim is an error at both, and neither is believed: which of them was meant is not known. */
function eachOnce<T extends { readonly id: string }>(
  all: readonly Read<T>[],
  { claim, says }: { readonly claim: (one: T) => string; readonly says: string },
  say: Say,
): readonly T[] {
  return all.flatMap((one) => {
    const other = all.find((another) => another !== one && claim(another.config) === claim(one.config));
    if (other === undefined) return [one.config];
    const at = spotOf(one.named.entry.value, ["key"]);
    say(one.named.object, errorAt(at, `${says} \`${other.config.id}\` too`, "keep one of the two"));
    return [];
  });
}

const keyBytes = (key: string): string =>
  Buffer.from(parseWitnessKey(sha256, key)?.publicKey ?? new Uint8Array(0)).toString("hex");
const nameOf = (key: string): string => parseVerifierKey(sha256, key)?.name ?? "";

/** Two entries may not speak for one origin, nor one of them for all years of what the other names. */
const originOf = ({ key }: WitnessedLogConfig): string => nameOf(key).replace(/\/\d{4}$/, "");
