// Promises what is declared of a listener: where callers reach it, behind which balancers, or which proxies may ask there. One that is to answer proxies
// and is written wrong answers nobody: it must not turn into one that serves. Trusts the types (estate-schema.ts). Specified in docs/configuration.md, docs/authorizer.md.
import { readBots } from "./bots-schema.ts";
import type { EnvironmentConfig, ListenerConfig } from "./estate.ts";
import { listenerSchema } from "./estate-schema.ts";
import { errorAt, type Finding } from "./finding.ts";
import { checkTrust, type EstateNames, type LinkedEnvironment } from "./link.ts";
import { certificateOf } from "./read-identity.ts";
import { shape } from "./shape.ts";
import { spotOf, type Tree } from "./yaml-tree.ts";

/** A listener with where it is written, for what only an environment knows. */
export interface DeclaredListener {
  readonly config: ListenerConfig;
  /** Null: all. */
  readonly environments: readonly string[] | null;
  readonly tree: Tree;
}

/** `listener` is null where there are findings. */
export function readListener(
  name: string,
  tree: Tree,
  declared: ReadonlySet<string>,
): { readonly listener: DeclaredListener | null; readonly findings: readonly Finding[] } {
  const { value, findings: unshaped } = shape(listenerSchema, tree);
  if (value === null) return { listener: null, findings: unshaped };
  const { environments = null, region = null, authorizer, proxyProtocol, serves, url, http2 } = value;
  const findings: Finding[] = [];
  const unknown = (environments ?? []).findIndex((environment) => !declared.has(environment));
  if (unknown !== -1)
    findings.push(
      errorAt(spotOf(tree, ["environments", unknown]), "no such environment", "declare it under `environments`"),
    );
  if (!http2 && authorizer?.proxy === "envoy-grpc") {
    const message = "questions of gRPC come over HTTP/2";
    findings.push(errorAt(spotOf(tree, ["http2"], "key"), message, "remove `http2: false`"));
  }
  const read = authorizer === undefined ? undefined : readAuthorizer(tree, authorizer, findings);
  if (authorizer !== undefined && proxyProtocol !== undefined)
    findings.push(
      errorAt(
        spotOf(tree, ["proxyProtocol"], "key"),
        "proxies that ask speak HTTP, each from its own address",
        "remove `proxyProtocol`, or give the callers a listener of their own",
      ),
    );
  const bots = readBots(tree, value.bots, findings);
  if (authorizer !== undefined && value.bots !== undefined)
    findings.push(errorAt(spotOf(tree, ["bots"], "key"), "the agent there is the proxy that asks", "remove `bots`"));
  if (findings.length > 0) return { listener: null, findings };
  const config = {
    ...{ name, serves, url, region },
    ...(http2 ? {} : { http2 }),
    ...bots,
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
    ...(read === undefined ? {} : { authorizer: read }),
  };
  return { listener: { config, environments, tree }, findings };
}

type Source = NonNullable<NonNullable<ReturnType<typeof shape<typeof listenerSchema>>["value"]>["authorizer"]>;

function readAuthorizer(
  tree: Tree,
  { proxy, trustedProxies, certificate }: Source,
  findings: Finding[],
): NonNullable<ListenerConfig["authorizer"]> | undefined {
  if (certificate === undefined) {
    if (trustedProxies.length > 0 || proxy === "services") return { proxy, trustedProxies };
    const message = "nothing says which proxies may ask";
    findings.push(errorAt(spotOf(tree, ["authorizer"], "key"), message, "add `trustedProxies` or `certificate`"));
    return undefined;
  }
  if (proxy === "services") {
    const message = "a service shows its own certificate, and no other";
    findings.push(errorAt(spotOf(tree, ["authorizer", "certificate"], "key"), message, "remove `certificate`"));
    return undefined;
  }
  const identity = certificateOf(certificate);
  if (identity === null) {
    const message = "a certificate needs exactly one of `uri`, `dns` and `x5t`";
    const spot = spotOf(tree, ["authorizer", "certificate"]);
    findings.push(errorAt(spot, message, "keep the one your proxies' certificate carries"));
    return undefined;
  }
  return { proxy, trustedProxies, certificate: identity };
}

/**
 * A broken listener that was to answer proxies stays one, and nobody may ask; one that was to stand behind balancers stays there, and nobody may
 * connect; any other broken one is as if it were not declared.
 */
export function closedListener(name: string, tree: Tree): DeclaredListener | null {
  if (tree.kind !== "map") return null;
  const config = { name, serves: "gateway" as const, url: "https://listener-is-broken.invalid", region: null };
  const nobody = { trustedProxies: [] };
  if (tree.entries.has("authorizer"))
    return { config: { ...config, authorizer: { proxy: "nginx", ...nobody } }, environments: null, tree };
  if (!tree.entries.has("proxyProtocol")) return null;
  return { config: { ...config, proxyProtocol: nobody }, environments: null, tree };
}

/** Those of one environment, in ascending order of name. `say`: told of each whose bundle is not one of this environment; it then trusts nobody. */
export function listenersOf(
  declared: readonly DeclaredListener[],
  where: { readonly environment: LinkedEnvironment; readonly names: EstateNames },
  say: (object: string, finding: Finding) => void,
): EnvironmentConfig["listeners"] {
  return declared
    .filter(({ environments }) => environments === null || environments.includes(where.environment.name))
    .map(({ config, tree }) => {
      const { certificate } = config.authorizer ?? {};
      const spot = spotOf(tree, ["authorizer", "certificate", "trust"]);
      for (const finding of certificate === undefined ? [] : checkTrust(certificate.trust, spot, where))
        say(`listener/${config.name}`, finding);
      return config;
    })
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
