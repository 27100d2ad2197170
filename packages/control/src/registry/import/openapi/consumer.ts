// Promises a caller of an imported system with the least that is of use: what reads. Pure. Trusts words.ts. Specified in docs/import-openapi.md.
import type { Place } from "../../config/finding.ts";
import type { Reporter } from "../import-report.ts";
import { type WrittenFile, writeObject } from "../written-estate.ts";
import type { ReadOperation } from "./read-operations.ts";

/** Operations one `uses` entry may name. */
const grantedMax = 1_000;

export interface ConsumerInput {
  readonly id: string;
  readonly system: string;
  readonly operations: readonly ReadOperation[];
  readonly report: Reporter;
  readonly at: Place;
}

function readsOf(operations: readonly ReadOperation[]): readonly ReadOperation[] {
  return operations.filter(({ method }) => ["GET", "HEAD", "OPTIONS"].includes(method)).slice(0, grantedMax);
}

/** `billing:invoice.read id=1 --as orders`: of the reads that the caller may use, the one with the fewest path parameters; null without one. */
export function exampleCall(system: string, caller: string, operations: readonly ReadOperation[]): string | null {
  const calls = readsOf(operations)
    .filter(({ method }) => method === "GET")
    .map(({ name, declaration }) => ({
      name,
      parameters: String(declaration["match"]).match(/(?<=\{)[^{}]+(?=\})/g) ?? [],
    }));
  const [easiest] = calls.sort((one, other) => one.parameters.length - other.parameters.length);
  if (easiest === undefined) return null;
  const given = easiest.parameters.map((parameter) => `${parameter}=1`);
  return [`${system}:${easiest.name}`, ...given, "--as", caller].join(" ");
}

export function consumerOf({ id, system, operations, report, at }: ConsumerInput): readonly WrittenFile[] {
  const granted = readsOf(operations).map(({ name }) => name);
  report.changed(at, `caller ${id}`, {
    why: `it may use the ${granted.length} operations that only read`,
    fix: "grant what it needs and no more, and say why under `purpose`",
  });
  const uses = [{ to: system, purpose: `Say here why ${id} needs ${system}`, operations: granted }];
  const value = { system: id, identity: { client: id }, ...(granted.length === 0 ? {} : { uses }) };
  return [{ ...writeObject({ kind: "system", file: `systems/${id}.yaml`, comment: `A caller of ${system}.`, value }) }];
}
