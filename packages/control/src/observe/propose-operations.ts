// Promises operations to declare for paths that were observed: names and templates that the configuration takes, and nothing else that a caller wrote.
// Trusts nothing: a path is a stranger's text, and what is proposed here is pasted into a file. Specified in docs/observe.md.

export interface ProposedOperation {
  /** `invoices.read` */
  readonly name: string;
  /** `GET /v1/invoices/{id}` */
  readonly match: string;
}

/** So many names in one place of a path are the names of things, not words of an API. */
const siblingsMin = 8;
const shapeForm = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) ((?:\/(?:[A-Za-z0-9._~-]{1,40}|\{[a-z0-9]{1,16}\}))+|\/)$/;

interface Shape {
  readonly method: string;
  readonly segments: readonly string[];
}

/** `shapes`: `GET /v1/invoices/{id}`, as gateways guess them. What does not have that form is left out. */
export function proposeOperations(
  shapes: readonly string[],
  taken: ReadonlySet<string> = new Set(),
): ProposedOperation[] {
  const read = shapes.flatMap((shape): Shape[] => {
    const [, method = "", path = ""] = shapeForm.exec(shape) ?? [];
    const segments = path === "/" ? [] : path.slice(1).split("/");
    const isDotted = segments.some((segment) => /^\.+$/.test(segment));
    // HEAD is served by the GET beside it (RFC 9110 §9.3.2).
    return method === "" || isDotted ? [] : [{ method: method === "HEAD" ? "GET" : method, segments }];
  });
  const names = new Set(taken);
  return unique(collapse(read))
    .sort((a, b) => compare(matchOf(a), matchOf(b)))
    .map((shape) => {
      const name = freeName(nameOf(shape), names);
      names.add(name);
      return { name, match: matchOf(shape) };
    });
}

/** As lines below `operations:` of the system's file. */
export function operationLines(operations: readonly ProposedOperation[]): string[] {
  return operations.map(({ name, match }) => `  ${name}: ${match}`);
}

function matchOf({ method, segments }: Shape): string {
  let parameters = 0;
  const parts = segments.map((segment) => {
    if (!segment.startsWith("{")) return segment;
    parameters++;
    return parameters === 1 ? "{id}" : `{id${parameters}}`;
  });
  return `${method} /${parts.join("/")}`;
}

/** Where paths differ in one place only and often, that place is a parameter. */
function collapse(shapes: readonly Shape[]): readonly Shape[] {
  const longest = Math.max(0, ...shapes.map(({ segments }) => segments.length));
  let result = shapes;
  for (let at = 0; at < longest; at++) {
    const keyOf = ({ method, segments }: Shape) => JSON.stringify([method, segments.with(at, "")]);
    const among = result.filter(({ segments }) => at < segments.length);
    const siblings = Map.groupBy(among, keyOf);
    result = result.map((shape) => {
      if (at >= shape.segments.length) return shape;
      const values = new Set((siblings.get(keyOf(shape)) ?? []).map(({ segments }) => segments[at]));
      return values.size >= siblingsMin ? { ...shape, segments: shape.segments.with(at, "{id}") } : shape;
    });
  }
  return result;
}

function unique(shapes: readonly Shape[]): Shape[] {
  return [...new Map(shapes.map((shape) => [matchOf(shape), shape])).values()];
}

const verbs: Readonly<Record<string, string>> = {
  POST: "create",
  PUT: "replace",
  PATCH: "update",
  DELETE: "delete",
  OPTIONS: "options",
};

function nameOf({ method, segments }: Shape): string {
  const words = segments
    .filter((segment) => !segment.startsWith("{") && !/^(api|v[0-9]+)$/i.test(segment))
    .map((segment) =>
      segment
        .toLowerCase()
        .replace(/[^a-z0-9_-]+/g, "-")
        .replace(/^[^a-z]+/, ""),
    )
    .filter((word) => word !== "")
    .slice(-3);
  const isOne = segments.at(-1)?.startsWith("{") === true;
  const verb = method === "GET" ? (isOne ? "read" : "list") : (verbs[method] ?? "call");
  return [...(words.length === 0 ? ["root"] : words), verb].join(".");
}

function freeName(name: string, taken: ReadonlySet<string>): string {
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${name}-${i}`;
  return free;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
