// Promises what the records of one caller, operation and policy set have in common, printed once and used again only for exactly the objects it
// was printed from; and the JSON of decision inputs byte for byte as JSON.stringify would have it. Trusts that a frozen principal, a compiled operation,
// a grant, an estate and a list of policies never change. Specified in docs/formats/leaf.md (members, references).
import type { LeafMold } from "@sallyport/protocol/audit/leaf-mold.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { Exchange } from "../exchange.ts";
import type { CompiledOperation } from "../snapshot/estate.ts";

/** Operations remembered per principal and per connection; more, and remembering begins anew. */
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
  /** Made from the first crossing of the kind, which had another token where `isOfOther`. */
  readonly molds: { crossing: LeafMold | null; intent: LeafMold | null };
  readonly isOfOther: boolean;
}

/** Bounded by the principals that connections keep (identify/presented.ts), and by the connections themselves: both go with them. */
export class Repeated {
  #byPrincipal = new WeakMap<object, Map<CompiledOperation, Printed>>();
  /** Of principals that are new with each crossing: the last one of each operation. */
  #bySource = new WeakMap<object, Map<CompiledOperation, OfMachine>>();
  #estate: object | null = null;

  /** Null where this crossing is not one that may have something in common with others. */
  find(
    exchange: Parts &
      Pick<Exchange, "decision" | "outside" | "shadow" | "threats" | "lookedUp" | "reported" | "nextHop">,
  ): Printed | null {
    const { principal, operation, lease, decision } = exchange;
    if (principal === null || operation === null || lease === null || decision === null) return null;
    // The id of a decision made outside is of this crossing alone, and so is what would have been decided.
    if (exchange.outside !== null || exchange.shadow !== null) return null;
    // What was looked up for it, or what its answer turned out not to be, likewise.
    if (exchange.lookedUp !== null || exchange.reported !== null || exchange.threats !== null) return null;
    // And so is the token its provider was shown.
    if (exchange.nextHop !== null) return null;
    if (!Object.isFrozen(exchange.policies)) return null;
    if (lease.estate !== this.#estate) {
      // Another snapshot: nothing printed before is used, or keeps the former one in memory.
      this.#estate = lease.estate;
      this.#byPrincipal = new WeakMap();
      this.#bySource = new WeakMap();
    }
    if (!Object.isFrozen(principal)) return this.#ofMachine(exchange, { principal, operation, decision });
    const known = knownOf(this.#byPrincipal, principal);
    const printed = known.get(operation);
    if (printed !== undefined && isOf(printed, exchange)) return printed;
    const fresh = print({ ...exchange, decision });
    keep(known, operation, fresh);
    return fresh;
  }

  /** A machine with a token of its own for each crossing, or a certificate: all that is said of it but its principal is what was said before. */
  #ofMachine(parts: Parts, { principal, operation, decision }: Asked): Printed | null {
    if (!isMachine(principal)) return null;
    const known = knownOf(this.#bySource, parts.source);
    let last = known.get(operation);
    if (last === undefined || !isOf(last.printed, parts) || !isAlike(last.principal, principal)) {
      last = { principal, printed: print({ ...parts, decision }) };
      keep(known, operation, last);
    }
    return { ...last.printed, principal: JSON.stringify(principal), isOfOther: true };
  }
}

interface Asked {
  readonly principal: Principal;
  readonly operation: CompiledOperation;
  readonly decision: NonNullable<Exchange["decision"]>;
}

interface OfMachine {
  readonly principal: Principal;
  readonly printed: Printed;
}

/** What a principal may have that is no more than a machine and its proof. */
const ofMachines: ReadonlySet<string> = new Set<keyof Principal>([
  ...(["tenant", "environment", "caller", "client", "proof", "scopes", "tokenId", "expiresAtMs"] as const),
]);

/** No user stands behind it, nobody else's issuer, and nothing that a later version of this program may say of principals. */
function isMachine(principal: Principal): boolean {
  for (const member of Object.keys(principal)) if (!ofMachines.has(member)) return false;
  return true;
}

/** Do the records of two machines that are one system differ in nothing but their principal and their token? Certificate, key and end are the principal's alone. */
function isAlike(a: Principal, b: Principal): boolean {
  return (
    a.tenant === b.tenant &&
    a.environment === b.environment &&
    a.caller === b.caller &&
    a.proof.kind === b.proof.kind &&
    (a.tokenId === undefined) === (b.tokenId === undefined) &&
    (a.scopes === b.scopes || a.scopes?.join(" ") === b.scopes?.join(" "))
  );
}

function knownOf<T>(of: WeakMap<object, Map<CompiledOperation, T>>, key: object): Map<CompiledOperation, T> {
  const known = of.get(key);
  if (known !== undefined) return known;
  const fresh = new Map<CompiledOperation, T>();
  of.set(key, fresh);
  return fresh;
}

function keep<T>(known: Map<CompiledOperation, T>, operation: CompiledOperation, one: T): void {
  if (known.size >= operationsMax) known.clear();
  known.set(operation, one);
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
    molds: { crossing: null, intent: null },
    isOfOther: false,
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
