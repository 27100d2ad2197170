// Promises the one request that the arguments of `call` mean for an operation: path parameters first, then the query or the JSON body.
// Trusts the operation's declaration for method, path and body. Pure. Specified in docs/cli/call.md "Arguments".
import type { SystemConfig } from "@sallyport/control/registry/config/estate.ts";
import type { OperationConfig } from "@sallyport/control/registry/config/operation-config.ts";
import { CommandEnd, exitCode } from "../exit.ts";

export interface BuiltRequest {
  readonly method: string;
  /** Path and query on the gateway. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | null;
}

export interface CallArguments {
  readonly words: readonly string[];
  /** `Name: value`. */
  readonly headers: readonly string[];
  /** The whole body, from `@file` or `-`. */
  readonly body: Uint8Array | null;
}

type Part = { readonly name: string; readonly how: "=" | ":=" | "=="; readonly value: string };

/** Sallyport's own words and what names the caller: the command sets them, nobody else. */
const ownHeaders = /^(?:authorization|dpop|host|content-length|transfer-encoding|connection|sallyport-.*)$/i;

/** Throws CommandEnd (bad use) that says which argument is wrong and how to write it. */
export function buildRequest(
  { system, operation }: { readonly system: SystemConfig; readonly operation: OperationConfig },
  given: CallArguments,
): BuiltRequest {
  const parts = given.words.map(parsePart);
  const parameters = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  const path = fillPath(operation.path, parameters, parts);
  const rest = parts.filter((part) => !parameters.includes(part.name) || part.how === "==");
  const inQuery = rest.filter((part) => part.how === "==" || operation.body === undefined);
  const inBody = rest.filter((part) => !inQuery.includes(part));
  const body = bodyOf(operation, inBody, given.body);
  const query = new URLSearchParams(inQuery.map(({ name, value }) => [name, value])).toString();
  const { public: at } = system;
  const prefix = at.path === "/" ? "" : at.path;
  const rooted = path === "/" && prefix !== "" ? prefix : `${prefix}${path}`;
  return {
    method: operation.method,
    target: `${rooted}${query === "" ? "" : `?${query}`}`,
    headers: {
      accept: "application/json, */*;q=0.5",
      ...(body === null || operation.body === undefined ? {} : { "content-type": operation.body.contentType }),
      ...(at.host === undefined ? {} : { host: at.host }),
      ...parseHeaders(given.headers),
    },
    body,
  };
}

function parsePart(word: string): Part {
  const match = /^([^=:]+)(:=|==|=)([\s\S]*)$/.exec(word);
  const how = match?.[2];
  if (match?.[1] !== undefined && (how === "=" || how === ":=" || how === "=="))
    return { name: match[1], how, value: match[3] ?? "" };
  throw new CommandEnd(
    exitCode.badUse,
    `"${word}" is not an argument of call`,
    "write name=value, name:=json, name==query, @file with the whole body, or - to read it from standard input",
  );
}

function fillPath(path: string, parameters: readonly string[], parts: readonly Part[]): string {
  const values = new Map<string, string>();
  for (const { name, how, value } of parts) {
    if (how === "==" || !parameters.includes(name)) continue;
    if (values.has(name)) throw new CommandEnd(exitCode.badUse, `${name} is given twice`, "a path has it once");
    if (value === "" || value === "." || value === "..")
      throw new CommandEnd(exitCode.badUse, `${name} has no value that a path can hold`, `write ${name}=<value>`);
    values.set(name, value);
  }
  const missing = parameters.filter((name) => !values.has(name));
  if (missing.length > 0)
    throw new CommandEnd(
      exitCode.badUse,
      `the path ${path} needs ${missing.join(", ")}`,
      `add ${missing.map((name) => `${name}=<value>`).join(" ")}`,
    );
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values.get(name) ?? ""));
}

function bodyOf(
  operation: OperationConfig,
  parts: readonly Part[],
  whole: Uint8Array | null,
): string | Uint8Array | null {
  if (whole !== null) {
    if (operation.body === undefined)
      throw new CommandEnd(
        exitCode.badUse,
        `${operation.method} ${operation.path} takes no body`,
        "leave @file or - out",
      );
    if (parts.length > 0)
      throw new CommandEnd(
        exitCode.badUse,
        `a whole body and members of one: ${parts.map(({ name }) => name).join(", ")}`,
        "give one of them; name==value goes into the query",
      );
    return whole;
  }
  if (operation.body === undefined) return null;
  if (operation.body.content === "form" && parts.length > 0)
    return parts.map(({ name, value }) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&");
  if (operation.body.content !== "json") {
    if (parts.length === 0) return null;
    throw new CommandEnd(
      exitCode.badUse,
      `the body is ${operation.body.contentType}, which members cannot make`,
      "give it whole: @file, or - for standard input",
    );
  }
  const members = new Map<string, unknown>();
  for (const { name, how, value } of parts) {
    if (members.has(name)) throw new CommandEnd(exitCode.badUse, `${name} is given twice`, "name:=[…] makes a list");
    members.set(name, how === ":=" ? parseJson(name, value) : value);
  }
  return JSON.stringify(Object.fromEntries(members));
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandEnd(exitCode.badUse, `${name}:=${text} is not JSON`, `write ${name}=${text} for plain text`);
  }
}

/** `Name: value` lines as fields; those the command sets itself are refused. */
export function parseHeaders(lines: readonly string[]): Readonly<Record<string, string>> {
  const fields = lines.map((line): [string, string] => {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)$/.exec(line);
    if (match?.[1] === undefined)
      throw new CommandEnd(exitCode.badUse, `"${line}" is not a header`, "write --header 'Name: value'");
    if (ownHeaders.test(match[1]))
      throw new CommandEnd(
        exitCode.badUse,
        `the header ${match[1]} is not yours to set here`,
        "call proves the caller itself; leave it out",
      );
    return [match[1].toLowerCase(), match[2]?.trimEnd() ?? ""];
  });
  return Object.fromEntries(fields);
}
