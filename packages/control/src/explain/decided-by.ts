// Promises what the policies behind a recorded decision are, where they stand now, and which inputs each read with what value, absent ones among them.
// Trusts the opened record and the parsed files. Pure but for the parser. Specified in docs/cli/why.md.
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { place } from "@sallyport/kernel/policy/policy-text.ts";
import { namesRead } from "@sallyport/kernel/policy/reads.ts";
import type { PolicyFile } from "../registry/config/estate.ts";

export interface DecidingPolicy {
  readonly id: string;
  /** `policies/billing.cedar:3` */
  readonly place: string;
  /** Name -> value; null: the request had none. */
  readonly read: Readonly<Record<string, unknown>>;
}

type Opened = Readonly<Record<string, unknown>> | null;

/** Of the policies that are there now, those in shadow that would have changed it among them; what was renamed or removed since is left out, and so are permits of grants, which nobody wrote. */
export function decidedBy(
  opened: Opened,
  { files, compiler }: { readonly files: readonly PolicyFile[]; readonly compiler: Pick<SliceCompiler, "parse"> },
): readonly DecidingPolicy[] {
  const inShadow = opened?.["shadow"];
  const said = [opened?.["policies"], Array.isArray(inShadow) ? inShadow.map((one) => memberOf(one, "policy")) : []];
  const ids = said.flatMap((some) => (Array.isArray(some) ? some : []));
  const decision = memberOf(opened, "decision");
  if (decision === undefined || decision === null || ids.length === 0 || files.length === 0) return [];
  const { policies, texts } = compiler.parse(files);
  return policies
    .filter(({ id }) => ids.includes(id))
    .map(({ id, file, offset, json }) => ({
      id,
      place: `${file}:${place(texts.get(file) ?? "", offset).line}`,
      read: valuesOf(namesRead([json]), decision),
    }));
}

function valuesOf(names: ReturnType<typeof namesRead>, decision: unknown): Readonly<Record<string, unknown>> {
  const values = {
    principal: memberOf(memberOf(decision, "principal"), "attributes"),
    resource: memberOf(memberOf(decision, "resource"), "attributes"),
    context: memberOf(decision, "context"),
  };
  const areas = ["principal", "resource", "context"] as const;
  return Object.fromEntries(
    areas.flatMap((area) =>
      [...names[area]].map((name) => [`${area}.${name}`, memberOf(values[area], name) ?? null] as const),
    ),
  );
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name]; // an object that has it
}
