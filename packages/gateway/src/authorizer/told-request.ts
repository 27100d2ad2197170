// Promises the one request that a proxy asks about, exactly as it told it, or that it did not tell one: a field that is missing or there twice is never
// guessed. Trusts the proxy to overwrite what its client sent under these names. Pure. Specified in docs/authorizer.md (fields of each proxy).
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Authorizer } from "./asking-proxy.ts";

/** Where proxies ask. */
export const authorizerPath = "/authz";

/** A request as its proxy told it; nobody has judged it yet. */
export interface ToldRequest {
  readonly kind: "told";
  readonly method: string;
  readonly target: string;
  /** Names and values alternating: the client's fields as the proxy passed them on, with the host it told. */
  readonly rawHeaders: readonly string[];
}

export interface Asking {
  readonly method: string;
  /** Request target of the question. */
  readonly target: string;
  readonly rawHeaders: readonly string[];
}

interface Fields {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly scheme: string;
}

const forwarded: Fields = {
  method: "x-forwarded-method",
  target: "x-forwarded-uri",
  host: "x-forwarded-host",
  scheme: "x-forwarded-proto",
};

/** Names under which each proxy tells the request; Envoy tells it by the question itself, all but the scheme, or in its content (check-request.ts). */
const fieldsOf: Readonly<Record<Authorizer["proxy"], Fields | null>> = {
  nginx: {
    method: "x-original-method",
    target: "x-original-uri",
    host: "x-original-host",
    scheme: "x-original-proto",
  },
  caddy: forwarded,
  traefik: forwarded,
  envoy: null,
  "envoy-grpc": null,
  services: null,
};

/** They are about the question, not about the request that is asked about. */
const ofTheQuestion: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "expect",
]);

/**
 * Fields by which a framework takes a request for one of another method or target. The gateway would cut them; these proxies send on whatever came, and
 * cannot be told to take a field away. What nginx asks is not what it sends on: its configuration has to clear them.
 */
const believedInstead: ReadonlySet<string> = new Set([
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-middleware-subrequest",
  "x-original-url",
  "x-rewrite-url",
]);
const sendsOnWhatItTells: ReadonlySet<Authorizer["proxy"]> = new Set(["caddy", "traefik", "envoy"] as const);

const askingMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST"]);

const no = (why: string, facts: Readonly<Record<string, string>> = {}): Deny =>
  deny("receive", "proxy-request", { why, ...facts });

/** Reads a question. `scheme`: of the listener's url, which the proxy has to have been asked under. */
export function readTold(proxy: Authorizer["proxy"], asking: Asking, scheme: string): ToldRequest | Deny {
  const values = valuesByName(asking.rawHeaders);
  const names = fieldsOf[proxy];
  const parts = names === null ? byQuestion(asking, values) : byFields(names, asking, values);
  if ("kind" in parts) return parts;
  const believed = sendsOnWhatItTells.has(proxy)
    ? [...values.keys()].find((name) => believedInstead.has(name))
    : undefined;
  if (believed !== undefined)
    return no(`${believed} would reach the provider, and says another method or target than is asked about`);
  const { rawHeaders } = asking;
  const passed = rawHeaders.filter((_, i) => !ofTheQuestion.has((rawHeaders[i - (i % 2)] ?? "").toLowerCase()));
  return toldRequest(parts, scheme, passed);
}

/** `passed`: names and values alternating, the client's fields but its Host. `scheme`: of the listener's url. */
export function toldRequest(parts: Fields, scheme: string, passed: readonly string[]): ToldRequest | Deny {
  if (parts.scheme !== scheme)
    return no("the proxy was asked under another scheme than the listener's url has", {
      expected: scheme,
      sent: parts.scheme,
    });
  return { kind: "told", method: parts.method, target: parts.target, rawHeaders: ["host", parts.host, ...passed] };
}

type Values = ReadonlyMap<string, readonly string[]>;

function byFields(names: Fields, { method, target }: Asking, values: Values): Fields | Deny {
  const [path] = target.split("?", 1);
  if (path !== authorizerPath) return no(`questions are asked at ${authorizerPath}`);
  if (!askingMethods.has(method)) return no("questions are asked with GET, HEAD or POST");
  const told: Record<string, string> = {};
  for (const [part, name] of Object.entries(names)) {
    const [value, second] = values.get(name) ?? [];
    if (value === undefined || value === "") return no(`${name} is missing`);
    if (second !== undefined) return no(`${name} is there twice`);
    told[part] = value;
  }
  return {
    method: told["method"] ?? "",
    target: told["target"] ?? "",
    host: told["host"] ?? "",
    scheme: told["scheme"] ?? "",
  };
}

/** Envoy's HTTP check: the method, host and target of the request itself, the target behind a prefix. */
function byQuestion({ method, target }: Asking, values: Values): Fields | Deny {
  if (!target.startsWith(`${authorizerPath}/`)) return no(`path_prefix is ${authorizerPath}`);
  const [scheme, second] = values.get("x-forwarded-proto") ?? [];
  if (scheme === undefined || scheme === "") return no("x-forwarded-proto is missing");
  if (second !== undefined) return no("x-forwarded-proto is there twice");
  return { method, target: target.slice(authorizerPath.length), host: values.get("host")?.[0] ?? "", scheme };
}

function valuesByName(rawHeaders: readonly string[]): Values {
  const values = new Map<string, string[]>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase();
    const value = (rawHeaders[i + 1] ?? "").replace(/^[\t ]+|[\t ]+$/g, "");
    const known = values.get(name);
    if (known === undefined) values.set(name, [value]);
    else known.push(value);
  }
  return values;
}
