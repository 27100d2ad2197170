// Promises what a gateway is told of a provider's places and of what to do when they fail, or the errors in what was written. Trusts the types
// (resilience-schema.ts). Specified in docs/resilience.md.
import type {
  Classification,
  EndpointObject,
  ResilienceObject,
  StaticFallback,
} from "@sallyport/protocol/snapshot/objects.ts";
import { z } from "zod";
import { errorAt, type Finding, type Spot } from "./finding.ts";
import { type ResilienceSource, resilienceKeys } from "./resilience-schema.ts";
import type { OperationSource } from "./system-schema.ts";
import type { UpstreamConfig } from "./upstream-config.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Source extends ResilienceSource {
  readonly url?: string | undefined;
}

export interface PlaceReading extends EndpointObject {
  readonly spot: Spot;
}

/** Where it is served, each with the place that says so; empty: it only consumes. */
export function readPlaces(tree: MapTree, source: Source): PlaceReading[] {
  if (source.url !== undefined) return [{ url: source.url, weight: 1, spot: spotOf(tree, ["url"]) }];
  return (source.endpoints ?? []).map((endpoint, i) => ({ ...endpoint, spot: spotOf(tree, ["endpoints", i]) }));
}

/** What stands in for the provider of one operation; `at`: the operation's place. */
export function readFallback(
  { tree, findings }: { readonly tree: MapTree; readonly findings: Finding[] },
  at: readonly string[],
  {
    source,
    classification,
  }: {
    readonly source: Pick<OperationSource, "fallback" | "match" | "websocket">;
    readonly classification: Classification;
  },
): { readonly fallback?: StaticFallback; readonly staleMs?: number } {
  const { fallback, match, websocket } = source;
  if (fallback === undefined) return {};
  const refuse = (key: string, message: string, fix: string): void =>
    void findings.push(errorAt(spotOf(tree, [...at, "fallback", key]), message, fix));
  if (!["GET", "HEAD", "OPTIONS"].includes(match.method))
    findings.push(
      errorAt(
        spotOf(tree, [...at, "fallback"], "key"),
        `a fallback of an effect (${match.method}): its caller would believe that something happened`,
        "remove `fallback`",
      ),
    );
  if (websocket !== undefined)
    findings.push(
      errorAt(
        spotOf(tree, [...at, "fallback"], "key"),
        "a fallback of a WebSocket: no one answer stands in for it",
        "remove `fallback`",
      ),
    );
  const { stale: staleMs, body, ...head } = fallback;
  if (staleMs === undefined && body === undefined)
    refuse("", "neither `body` nor `stale`", "write what callers get, or how old an answer of before may be");
  if (staleMs !== undefined && classification === "restricted")
    refuse("stale", "answers of a restricted operation are not kept", "remove `stale`, or declare a `body`");
  if (body !== undefined && /^application\/(json|[a-z0-9.+-]+\+json)$/.test(fallback.contentType) && !isJson(body))
    refuse(
      "body",
      "not JSON, which `contentType` says it is",
      "write JSON as text, for example `'[]'`, or another `contentType`",
    );
  return {
    ...(body === undefined ? {} : { fallback: { ...head, body } }),
    ...(staleMs === undefined ? {} : { staleMs }),
  };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with them beside each other. */
export function refusePlaces(tree: MapTree, source: Source): Finding[] {
  const { url, endpoints } = source;
  if (endpoints === undefined) return [];
  if (url !== undefined)
    return [errorAt(spotOf(tree, ["url"], "key"), "both `url` and `endpoints`", "write all of them under `endpoints`")];
  const origins = endpoints.map((endpoint) => new URL(endpoint.url).origin);
  return endpoints.flatMap((endpoint, i) => {
    const spot = spotOf(tree, ["endpoints", i]);
    if (origins.indexOf(origins[i] ?? "") !== i)
      return [
        errorAt(
          spot,
          `the host and port of \`${endpoint.url}\` stand here twice`,
          "remove one, or give the other a `weight`",
        ),
      ];
    return [];
  });
}

export function refuseRules(tree: MapTree, { breaker, inFlight, health, endpoints }: ResilienceSource): Finding[] {
  const findings: Finding[] = [];
  if (health !== undefined && (endpoints?.length ?? 0) < 2)
    findings.push(
      errorAt(
        spotOf(tree, ["health"], "key"),
        "`health` of an only endpoint: there is no other to prefer",
        "remove `health`, or write several `endpoints`",
      ),
    );
  if (health !== undefined && (health.path === undefined) === (health.grpc === undefined))
    findings.push(
      errorAt(
        spotOf(tree, ["health"], "key"),
        health.path === undefined ? "neither `path` nor `grpc`" : "both `path` and `grpc`",
        "write `path` for a check over HTTP, or `grpc` for one over gRPC",
      ),
    );
  if (breaker !== "none" && breaker.longest < breaker.pause)
    findings.push(
      errorAt(
        spotOf(tree, ["breaker"], "key"),
        "the longest pause is shorter than the first one",
        "raise `longest`, or lower `pause`",
      ),
    );
  if (inFlight === undefined) return findings;
  const bounds = [inFlight.total, inFlight.each].filter((bound) => bound !== undefined);
  if (bounds.length === 0)
    findings.push(
      errorAt(spotOf(tree, ["inFlight"], "key"), "no bound under `inFlight`", "write `total`, `each` or both"),
    );
  return findings;
}

/** What holds where nothing is written. */
export function defaultResilience(places: number): ResilienceObject {
  return resilienceOf(z.object(resilienceKeys).parse({}), places);
}

/** Where it is served: never empty. */
export function placesOf({ url, endpoints }: UpstreamConfig): readonly EndpointObject[] {
  return endpoints ?? [{ url, weight: 1 }];
}

const shareOfSeveral = 0.5;

export function resilienceOf(
  { timeouts, retries, breaker, inFlight, health }: ResilienceSource,
  places: number,
): ResilienceObject {
  const share = breaker === "none" ? undefined : (breaker.share ?? (places > 1 ? shareOfSeveral : undefined));
  return {
    ...(retries === "none" ? {} : { retries }),
    ...(breaker === "none"
      ? {}
      : {
          breaker: {
            failures: breaker.failures,
            ...(share === undefined ? {} : { share }),
            requests: breaker.requests,
            openMs: breaker.pause,
            openMsMax: breaker.longest,
          },
        }),
    connectMs: timeouts.connect,
    ...(timeouts.attempt === undefined ? {} : { attemptMs: timeouts.attempt }),
    ...(health === undefined
      ? {}
      : {
          health: {
            ...(health.path === undefined ? {} : { path: health.path }),
            ...(health.grpc === undefined ? {} : { grpc: health.grpc }),
            everyMs: health.every,
            timeoutMs: health.timeout,
            failures: health.failures,
            successes: health.successes,
          },
        }),
    ...(inFlight === undefined
      ? {}
      : {
          inFlight: {
            ...(inFlight.total === undefined ? {} : { total: inFlight.total }),
            ...(inFlight.each === undefined ? {} : { each: inFlight.each }),
            waiting: inFlight.waiting,
            waitMs: inFlight.wait,
          },
        }),
  };
}
