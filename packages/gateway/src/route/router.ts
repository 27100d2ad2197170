// Promises that host, method and path lead to exactly one operation of one system, or to none: the longest public prefix owns the path,
// inside it literals beat parameters. Trusts the canonical request's segments and the snapshot's declared paths. Specified in docs/gateway.md.

/** What the router reads of an operation. */
export interface Routable {
  readonly method: string;
  /** `/v1/invoices/{id}` */
  readonly path: string;
}

export interface RoutedSystem<O extends Routable> {
  readonly public: { readonly host?: string; readonly path: string; readonly strip: boolean };
  readonly operations: readonly O[];
}

export interface Match<S, O> {
  /** The system whose public prefix matched; null: nobody's. */
  readonly system: S | null;
  readonly operation: O | null;
  /** Path parameters by name. */
  readonly parameters: Readonly<Record<string, string>>;
  /** How many leading segments are the public prefix. */
  readonly prefixSegments: number;
}

export interface Router<S, O> {
  /** `segments` are the path's segments after the first slash; `host` is lower case without port. */
  find(host: string, method: string, segments: readonly string[]): Match<S, O>;
}

interface Target<O> {
  readonly operation: O;
  readonly names: readonly string[];
}

interface OperationNode<O> {
  readonly literals: Map<string, OperationNode<O>>;
  parameter: OperationNode<O> | null;
  readonly byMethod: Map<string, Target<O>>;
}

interface PrefixNode<S, O> {
  readonly literals: Map<string, PrefixNode<S, O>>;
  owner: { readonly system: S; readonly operations: OperationNode<O>; readonly depth: number } | null;
}

const anyHost = "*";
const noParameters: Readonly<Record<string, string>> = Object.freeze({});

/** Builds the trie of one snapshot. Of two systems with one prefix, or two operations with one method and path, the first wins: control refuses such estates. */
export function buildRouter<O extends Routable, S extends RoutedSystem<O>>(systems: readonly S[]): Router<S, O> {
  const hosts = new Map<string, PrefixNode<S, O>>();
  for (const system of systems) insertSystem(hosts, system);
  return {
    find(host, method, segments) {
      const owner = ownerOf(hosts.get(host), segments) ?? ownerOf(hosts.get(anyHost), segments);
      if (owner === null) return { system: null, operation: null, parameters: noParameters, prefixSegments: 0 };
      const values: string[] = [];
      const target = findTarget(owner.operations, owner.depth, { method, segments, values });
      return {
        system: owner.system,
        operation: target?.operation ?? null,
        parameters: target === null ? noParameters : parametersOf(target.names, values),
        prefixSegments: owner.depth,
      };
    },
  };
}

/** `/v1/x` -> [`v1`, `x`]; `/` -> []. A trailing slash is an empty last segment, and so another path. */
export function segmentsOf(path: string): string[] {
  return path === "/" || path === "" ? [] : path.slice(1).split("/");
}

function insertSystem<O extends Routable, S extends RoutedSystem<O>>(
  hosts: Map<string, PrefixNode<S, O>>,
  system: S,
): void {
  const host = system.public.host?.toLowerCase() ?? anyHost;
  let node: PrefixNode<S, O> = hosts.get(host) ?? { literals: new Map(), owner: null };
  hosts.set(host, node);
  const prefix = segmentsOf(system.public.path);
  for (const segment of prefix) {
    const next: PrefixNode<S, O> = node.literals.get(segment) ?? { literals: new Map(), owner: null };
    node.literals.set(segment, next);
    node = next;
  }
  const operations: OperationNode<O> = emptyNode();
  for (const operation of system.operations) insertOperation(operations, operation);
  node.owner ??= { system, operations, depth: prefix.length };
}

function emptyNode<O>(): OperationNode<O> {
  return { literals: new Map(), parameter: null, byMethod: new Map() };
}

function insertOperation<O extends Routable>(root: OperationNode<O>, operation: O): void {
  const names: string[] = [];
  let node = root;
  for (const segment of segmentsOf(operation.path)) {
    if (segment.startsWith("{") && segment.endsWith("}")) {
      names.push(asKey(segment.slice(1, -1)));
      node.parameter ??= emptyNode();
      node = node.parameter;
    } else {
      const next: OperationNode<O> = node.literals.get(segment) ?? emptyNode();
      node.literals.set(segment, next);
      node = next;
    }
  }
  if (!node.byMethod.has(operation.method)) node.byMethod.set(operation.method, { operation, names });
}

/** The text as the engine has it for names of members: any other of the same characters is looked up anew at each use. */
function asKey(name: string): string {
  return Object.keys({ [name]: true })[0] ?? name;
}

function ownerOf<S, O>(root: PrefixNode<S, O> | undefined, segments: readonly string[]): PrefixNode<S, O>["owner"] {
  let node = root;
  let owner = root?.owner ?? null;
  for (let depth = 0; node !== undefined && depth < segments.length; depth++) {
    node = node.literals.get(segments[depth] ?? "");
    owner = node?.owner ?? owner;
  }
  return owner;
}

interface Want {
  readonly method: string;
  readonly segments: readonly string[];
  /** Filled with the parameters on the way down. */
  readonly values: string[];
}

/** Depth first, literal before parameter; the depth is bounded by the declared paths, not by the request. */
function findTarget<O>(node: OperationNode<O>, depth: number, want: Want): Target<O> | null {
  const segment = want.segments[depth];
  if (segment === undefined) {
    // HEAD is GET without the content (RFC 9110 §9.3.2), unless the system declares one of its own.
    return node.byMethod.get(want.method) ?? (want.method === "HEAD" ? (node.byMethod.get("GET") ?? null) : null);
  }
  const literal = node.literals.get(segment);
  const found = literal === undefined ? null : findTarget(literal, depth + 1, want);
  if (found !== null || node.parameter === null || segment === "") return found;
  want.values.push(segment);
  const behind = findTarget(node.parameter, depth + 1, want);
  if (behind === null) want.values.pop();
  return behind;
}

function parametersOf(names: readonly string[], values: readonly string[]): Readonly<Record<string, string>> {
  if (names.length === 0) return noParameters;
  const own: Record<string, string> = Object.create(null);
  for (let i = 0; i < names.length; i++) own[names[i] ?? ""] = values[i] ?? "";
  return own;
}
