// Promises what the records of one caller, operation and policy set have in common, printed once and used again only for exactly the objects it
// was printed from; and the JSON of decision inputs byte for byte as JSON.stringify would have it. Trusts that a frozen principal, a compiled operation,
// a grant, an estate and a list of policies never change. Specified in docs/formats/leaf.md (members, references).
import type { LeafMold } from "@sallyport/protocol/audit/leaf-mold.ts";
import type { Exchange } from "../exchange.ts";
import type { CompiledOperation } from "../snapshot/estate.ts";

/** Operations remembered per principal; more, and remembering begins anew. */
const operationsMax = 32;

type Parts = Pick<Exchange, "principal" | "operation" | "grant" | "lease" | "caller" | "policies" | "source">;

/** Texts, and molds that the recorder makes when it first needs them. */
export interface Printed {
  readonly grant: Parts["grant"];
  readonly caller: Parts["caller"];
  readonly policies: Parts["policies"];
  readonly source: Parts["source"];
  readonly address: string;
  readonly principal: string;
  /** Of the decision, up to the attributes of the resource, and from behind them up to the staleness. */
  readonly decisionHead: string;
  readonly decisionTail: string;
  readonly policiesText: string;
  crossing: LeafMold | null;
  intent: LeafMold | null;
}

/** Bounded by the principals that connections keep (identify/presented.ts): each is frozen and goes with its connection. */
export class Repeated {
  #byPrincipal = new WeakMap<object, Map<CompiledOperation, Printed>>();
  #estate: object | null = null;

  /** Null where this crossing is not one that may have something in common with others. */
  find(exchange: Parts & Pick<Exchange, "decision">): Printed | null {
    const { principal, operation, lease, decision } = exchange;
    if (principal === null || operation === null || lease === null || decision === null) return null;
    if (!Object.isFrozen(principal) || !Object.isFrozen(exchange.policies)) return null;
    if (lease.estate !== this.#estate) {
      // Another snapshot: nothing printed before is used, or keeps the former one in memory.
      this.#estate = lease.estate;
      this.#byPrincipal = new WeakMap();
    }
    let known = this.#byPrincipal.get(principal);
    if (known === undefined) {
      known = new Map();
      this.#byPrincipal.set(principal, known);
    }
    const printed = known.get(operation);
    if (printed !== undefined && isOf(printed, exchange)) return printed;
    const fresh = print({ ...exchange, decision });
    if (known.size >= operationsMax) known.clear();
    known.set(operation, fresh);
    return fresh;
  }
}

/** With one part another object nothing printed before is used. */
function isOf(printed: Printed, { grant, caller, policies, source }: Parts): boolean {
  return (
    printed.grant === grant && printed.caller === caller && printed.policies === policies && printed.source === source
  );
}

function print(parts: Parts & { readonly decision: NonNullable<Exchange["decision"]> }): Printed {
  const { stalenessMs: _differs, ...context } = parts.decision.context;
  const { resource, principal } = parts.decision;
  return {
    grant: parts.grant,
    caller: parts.caller,
    policies: parts.policies,
    source: parts.source,
    address: JSON.stringify(parts.source.address),
    principal: JSON.stringify(parts.principal),
    decisionHead: `{"principal":${JSON.stringify(principal)},"resource":{"system":${JSON.stringify(resource.system)},"attributes":`,
    decisionTail: `},"context":${JSON.stringify(context).slice(0, -1)},"stalenessMs":`,
    policiesText: JSON.stringify(parts.policies),
    crossing: null,
    intent: null,
  };
}

/** What only control may read of an allowed crossing: the text of `referenceOf`. */
export function printInputs(printed: Printed, { id, request, decision }: Exchange): string {
  if (decision === null) throw new Error("a crossing without a decision repeats nothing");
  const asked =
    request === null
      ? '"method":null,"path":null,"url":null'
      : `"method":"${request.method}","path":${quoted(request.path)},"url":${quoted(request.clientUrl)}`;
  const attributes = JSON.stringify(decision.resource.attributes);
  const decided = `${printed.decisionHead}${attributes}${printed.decisionTail}${JSON.stringify(decision.context.stalenessMs)}}}`;
  return `{"v":1,"id":"${id}","address":${printed.address},${asked},"principal":${printed.principal},"decision":${decided},"policies":${printed.policiesText}}`;
}

/** Visible ASCII and space without what JSON escapes. */
const plainText = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function quoted(text: string): string {
  return plainText.test(text) ? `"${text}"` : JSON.stringify(text);
}
