// Promises for each thing enforcement would deny what mends it, as YAML that can be pasted where one is enough, else in words. Pure.
// Trusts the declared estate; of what a caller sent only its own facts are repeated. Specified in docs/observe.md.
import { operationLines, proposeOperations } from "./propose-operations.ts";

export interface Fix {
  readonly says: string;
  /** Where the YAML belongs, relative to the estate. */
  readonly file?: string;
  readonly yaml?: string;
}

/** What is declared in one environment, as far as fixes need it. */
export interface DeclaredParts {
  readonly integrations: readonly {
    readonly id: string;
    readonly from: string;
    readonly to: string;
    readonly declaredAt: string;
  }[];
  /** System -> its operations. */
  readonly operations: ReadonlyMap<
    string,
    readonly { readonly name: string; readonly method: string; readonly path: string }[]
  >;
}

export interface Denied {
  readonly system: string;
  /** `invoice.read`, or `(undeclared)` */
  readonly operation: string;
  /** Null: nobody was proven. */
  readonly caller: string | null;
  readonly code: string;
  /** Facts of the example's sealed reference; empty where it is gone. */
  readonly facts: Readonly<Record<string, string>>;
  /** Templates of undeclared requests. */
  readonly shapes: readonly string[];
  /** Operations that all denials of this code, caller and system want together. */
  readonly wanted: readonly string[];
}

export function suggestFix(denied: Denied, declared: DeclaredParts): Fix {
  if (denied.operation === "(undeclared)") return declareOperations(denied, declared);
  if (denied.caller === null) return identify(denied);
  if (denied.code === "not-granted") return grant(denied, declared);
  const facts = denied.facts;
  const integration = declared.integrations.find(({ from, to }) => from === denied.caller && to === denied.system);
  const where =
    integration === undefined ? `the integration of ${denied.caller}` : `${integration.id} (${integration.declaredAt})`;
  const words = wordsOf[denied.code];
  return { says: words === undefined ? `see docs/problems/${denied.code}.md` : words({ ...denied, facts, where }) };
}

function declareOperations({ system, shapes }: Denied, { operations }: DeclaredParts): Fix {
  const file = `systems/${system}.yaml`;
  const taken = operations.get(system) ?? [];
  const isDeclared = new Set(taken.map(({ method, path }) => templateOf(`${method} ${path}`)));
  const open = shapes.filter((shape) => !isDeclared.has(templateOf(shape.replace(/^HEAD /, "GET "))));
  if (shapes.length > 0 && open.length === 0)
    return { says: `${file} declares it by now; ask with --since for what came after` };
  const proposed = proposeOperations(open, new Set(taken.map(({ name }) => name)));
  if (proposed.length === 0)
    return { says: `declare the operation in ${file}; the records of its examples say what was called` };
  const lines = operationLines(proposed);
  if (taken.length > 0) return { says: `declare in ${file}, below its \`operations:\`:`, file, yaml: lines.join("\n") };
  return { says: `declare in ${file}:`, file, yaml: ["operations:", ...lines].join("\n") };
}

/** What a parameter is called makes no other path. */
function templateOf(match: string): string {
  return match.replaceAll(/\{[^}]*\}/g, "{}");
}

/** A new file, so that it can be pasted whatever the others hold. */
function grant({ caller, system, wanted }: Denied, { integrations }: DeclaredParts): Fix {
  const there = integrations.find(({ from, to }) => from === caller && to === system);
  if (there !== undefined)
    return { says: `add to the \`operations\` of ${there.id} at ${there.declaredAt}: ${wanted.join(", ")}` };
  const id = `${caller}-to-${system}`;
  const file = `integrations/${id}.yaml`;
  const lines = [
    `integration: ${id}`,
    `from: ${caller}`,
    `to: ${system}`,
    "purpose: say why this data crosses",
    "operations:",
    ...wanted.map((name) => `  - ${name}`),
  ];
  return { says: `grant it in a new file ${file}:`, file, yaml: lines.join("\n") };
}

function identify({ system, wanted, code }: Denied): Fix {
  const hint = identityWords[code] ?? "the caller proved nobody";
  const lines = [
    "system: new-caller",
    "identity: { client: new-caller, keys: [new-caller.jwks.json] }",
    "uses:",
    `  - to: ${system}`,
    "    purpose: say why this data crosses",
    "    operations:",
    ...wanted.map((name) => `      - ${name}`),
  ];
  return {
    says: `${hint}. Find out whose it is (the examples' records hold its address), then give it a key (sallyport client-key new) and a file systems/<caller>.yaml:`,
    file: "systems/new-caller.yaml",
    yaml: lines.join("\n"),
  };
}

const identityWords: Readonly<Record<string, string>> = {
  "credentials-missing": "the caller sends no credentials",
  "credentials-malformed": "the caller sends credentials of another scheme",
  "token-malformed": "the caller sends a bearer token that is none of ours",
  "token-issuer": "the caller sends a token of another issuer",
  "token-expired": "the caller sends a token of ours that has expired: its clock or its cache is wrong",
  "token-audience": "the caller sends a token for another provider: it must ask for this one's audience",
  "client-unknown": "the client of the token belongs to no system: declare it under `identity`",
};

type Worded = Denied & { readonly where: string };

const wordsOf: Readonly<Record<string, (denied: Worded) => string>> = {
  "not-active": ({ where, facts }) => `${where} is ${facts["state"] ?? "not active"}: ${facts["fix"] ?? "activate it"}`,
  "rate-limited": ({ where, facts }) =>
    `raise \`limits\` of ${where}${isSaid(facts["limit"])}, or slow the caller down`,
  "concurrency-limited": ({ where, facts }) =>
    `raise \`concurrency\` of ${where}${isSaid(facts["limit"])}, or let the caller have fewer under way`,
  "quota-exhausted": ({ where, facts }) =>
    `raise \`quota\` of ${where}${isSaid(facts["limit"])}, or let the caller have fewer a period`,
  "proof-not-accepted": ({ where, facts }) =>
    `let the caller prove itself with ${facts["accepted"] ?? "dpop or mtls"}; until it can, \`proof: { accept: [${facts["accepted"] ?? "dpop, mtls"}, ${facts["proof"] ?? "bearer"}], reason: …, until: … }\` in ${where}`,
  "scope-missing": ({ system, operation }) =>
    `let the caller ask for a token with the scope ${system}:${operation}, or without any scope`,
  "insufficient-user-authentication": ({ operation, facts }) =>
    `let the caller send its user to sign in again${isSaid(facts["acr"] ?? facts["maxAge"])}, or ask for less with \`acr\` and \`maxAge\` of ${operation}`,
  "policy-denied": ({ facts }) => `change the policy${isSaid(facts["policies"])}, or let the caller leave it`,
  "policy-error": ({ facts }) => `mend the policy${isSaid(facts["errors"])}`,
  "attribute-missing": ({ operation, facts }) =>
    `the caller must send what \`attributes\` of ${operation} declares${isSaid(facts["attribute"] ?? facts["why"])}`,
  "content-type": ({ operation, facts }) =>
    `declare what the caller sends in \`body: { contentType: … }\` of ${operation}${isSaid(facts["detail"])}`,
  "body-too-large": ({ operation, facts }) =>
    `raise \`body: { size: … }\` of ${operation}${isSaid(facts["bound"])}, at most 16MiB`,
  "body-malformed": ({ facts }) => `the caller must send strict JSON${isSaid(facts["why"])}`,
  "schema-mismatch": ({ operation, facts }) =>
    `widen the schema of ${operation}, or mend what the caller sends, at ${facts["why"] ?? "the place its record names"}`,
  "threat-found": ({ operation, facts }) =>
    `except the rule ${facts["rule"] ?? ""} at ${facts["at"] ?? "its place"} in \`threats\` of ${operation}, with a reason, if that is no threat there`,
  "upstream-timeout": ({ operation, facts }) => `raise \`timeout\` of ${operation}${isSaid(facts["bound"])}`,
};

function isSaid(text: string | undefined): string {
  return text === undefined ? "" : ` (${text})`;
}
