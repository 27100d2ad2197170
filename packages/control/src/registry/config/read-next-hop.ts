// Promises what a provider is shown besides the hop token, a signature or an access token of its own, as it is written, and refuses what could not be kept.
// Trusts the types (next-hop-schema.ts). Specified in docs/identity/next-hop.md and docs/identity/signed-requests.md.
import { errorAt, type Finding } from "./finding.ts";
import type { OperationConfig } from "./operation-config.ts";
import { needsPrivateWord } from "./private-hosts.ts";
import { readPlaces } from "./read-resilience.ts";
import type { SystemSource } from "./system-schema.ts";
import type { NextHopConfig, OutsideEndpoint, UpstreamConfig } from "./upstream-config.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Reader {
  readonly tree: MapTree;
  readonly findings: Finding[];
}

type Written = Exclude<NonNullable<SystemSource["nextHop"]>, "own">;
type Told = readonly [path: readonly (string | number)[], message: string, fix: string];

export function readNextHop(
  { tree, findings }: Reader,
  operations: readonly OperationConfig[],
  source: SystemSource,
): Pick<UpstreamConfig, "nextHop"> {
  const said: Written | null =
    source.nextHop === undefined
      ? null
      : source.nextHop === "own"
        ? { actor: "gateway", identity: true }
        : source.nextHop;
  const wrong = [
    ...refuseScopes(operations, said),
    ...(said === null ? [] : [...refusePlace(tree, operations, source), ...refuseForm(said, source)]),
  ];
  for (const [path, message, fix] of wrong) findings.push(errorAt(spotOf(tree, path, "key"), message, fix));
  if (said === null) return {};
  const { actor, identity, bearer, outside } = said;
  const nextHop: NextHopConfig = {
    actor,
    ...(identity ? {} : { withoutIdentity: true }),
    ...(bearer === undefined ? {} : { bearer: { reason: bearer.reason, untilMs: bearer.until } }),
    ...(outside === undefined ? {} : { outside: endpointOf(outside) }),
  };
  return { nextHop };
}

function endpointOf(outside: NonNullable<Written["outside"]>): OutsideEndpoint {
  const { endpoint: uri, allowPrivate, tls, grant, client, issuer, resource, scopes } = outside;
  return {
    uri,
    allowPrivate,
    ...(tls?.ca === undefined ? {} : { trust: tls.ca }),
    grant,
    client,
    audience: issuer ?? uri,
    ...(resource === undefined ? {} : { resource }),
    scope: scopes,
  };
}

/** Our own tokens carry the one operation, so nobody names scopes for them. */
function refuseScopes(operations: readonly OperationConfig[], said: Written | null): Told[] {
  if (said?.outside !== undefined) return [];
  return operations
    .filter(({ nextHopScope }) => nextHopScope !== undefined)
    .map(({ name }) => [
      ["operations", name, "nextHopScope"],
      "there is no `nextHop.outside` that would be asked for it",
      "remove it: a token of ours carries the operation and nothing else",
    ]);
}

function refusePlace(tree: MapTree, operations: readonly OperationConfig[], source: SystemSource): Told[] {
  const at = ["nextHop"];
  const places = readPlaces(tree, source);
  const told: Told[] = [];
  if (places.length === 0) told.push([at, "`nextHop` without a `url` to send to", "add `url: …`"]);
  if (operations.some(({ grpc }) => grpc !== undefined))
    told.push([
      at,
      "calls of gRPC are not sent with a token",
      "take `nextHop` out: its provider knows gateways by their hop token or certificate",
    ]);
  const clear = places.find(({ url }) => url.startsWith("http:") && !needsPrivateWord(new URL(url).hostname));
  if (clear !== undefined && source.nextHop !== "own" && source.nextHop?.bearer !== undefined)
    told.push([
      ["nextHop", "bearer"],
      `a bearer token would cross the network in clear to ${clear.url}`,
      "write https",
    ]);
  return told;
}

function refuseForm({ identity, bearer, outside }: Written, { signed }: SystemSource): Told[] {
  const told: Told[] = [];
  if (!identity && signed)
    told.push([
      ["nextHop", "identity"],
      "`signed` covers `Sallyport-Identity`, which would not be sent",
      "remove `identity`, or `signed`",
    ]);
  if (outside === undefined) return told;
  if (bearer === undefined)
    told.push([
      ["nextHop", "outside"],
      "tokens of another issuer are bearer tokens in this version, and nobody said so",
      "add `bearer: { reason, until }`",
    ]);
  if (!outside.allowPrivate && needsPrivateWord(new URL(outside.endpoint).hostname))
    told.push([
      ["nextHop", "outside", "endpoint"],
      "the URL leads to a private or loopback address",
      "add `allowPrivate: true` if that is meant",
    ]);
  return told;
}

/** The fields of a call are another protocol's, and its content has no end to sign. */
export function refuseSignedCalls(
  { tree, findings }: Reader,
  operations: readonly OperationConfig[],
  source: SystemSource,
): void {
  const isWithout =
    source.signed &&
    Object.keys(source.operations).length > 0 &&
    source.url === undefined &&
    source.endpoints === undefined;
  if (isWithout)
    findings.push(errorAt(spotOf(tree, ["signed"], "key"), "`signed` without a `url` to send to", "add `url: …`"));
  if (!source.signed || operations.every(({ grpc }) => grpc === undefined)) return;
  findings.push(
    errorAt(
      spotOf(tree, ["signed"], "key"),
      "calls of gRPC are not signed",
      "take `signed` out: its provider knows gateways by their hop token or certificate",
    ),
  );
}
