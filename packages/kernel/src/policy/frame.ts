// Promises the request of a slice as closures read it: the very values that Cedar is given. Null for an address that only the evaluator may read.
// Trusts values that were held against the schema (fit-request.ts). Specified in docs/policy.md "Compiled policies".
import { parseIpRange } from "./cedar-ip.ts";
import { CedarEntity, CedarIp, type CedarRecord } from "./cedar-values.ts";
import type { Frame } from "./closures.ts";
import type { Asked } from "./evaluator.ts";

/** Names of a context's addresses, and the action, which are the same for every request of a slice. */
export interface FrameForm {
  readonly action: CedarEntity;
  readonly addresses: readonly string[];
}

export function frameForm({ slice, shapes }: Pick<Asked, "slice" | "shapes">): FrameForm {
  return {
    action: new CedarEntity({ type: "Action", id: slice.action }),
    addresses: Object.keys(shapes.context).filter((name) => shapes.context[name]?.type === "address"),
  };
}

export function frameOf({ inputs, projection }: Pick<Asked, "inputs" | "projection">, form: FrameForm): Frame | null {
  const context = form.addresses.length === 0 ? projection.context : withAddresses(projection.context, form.addresses);
  if (context === null) return null;
  const { principal, resource } = inputs;
  return {
    principal: {
      entity: new CedarEntity({ type: "Workload", id: principal.id }),
      attributes: projection.principal,
      ancestors: [new CedarEntity({ type: "System", id: principal.id })],
    },
    resource: {
      entity: new CedarEntity({ type: "Resource", id: resource.system }),
      attributes: projection.resource,
      ancestors: [new CedarEntity({ type: "System", id: resource.system })],
    },
    action: form.action,
    context,
  };
}

function withAddresses(context: Asked["projection"]["context"], addresses: readonly string[]): CedarRecord | null {
  const values: Record<string, CedarRecord[string]> = { ...context };
  for (const name of addresses) {
    const text = context[name];
    if (text === undefined) continue;
    const range = typeof text === "string" ? parseIpRange(text) : null;
    if (range === null) return null;
    values[name] = new CedarIp(range);
  }
  return values;
}
