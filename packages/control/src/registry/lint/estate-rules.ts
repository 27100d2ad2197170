// Promises to find what weakens the whole: roots that prove too little, rules nobody else approves, listeners in clear, leftovers. Pure. Pages: docs/lint.
import { X509Certificate } from "node:crypto";
import type { SystemConfig } from "../config/estate.ts";
import {
  dayMs,
  dayOf,
  estatePlace,
  type Hit,
  isIncomplete,
  onEnvironments,
  onSystems,
  onTrust,
  type Rule,
} from "./rule.ts";

const rootSoonDays = 60;
const rootsMax = 10;
const rsaBitsMin = 2_048;
const stalenessMaxMs = { restricted: 30_000, confidential: 900_000, internal: 3_600_000, public: 86_400_000 };

export const trustRules: readonly Rule[] = [
  {
    id: "root-expired",
    severity: "error",
    title: "A trusted root has expired",
    why: "No chain that ends in it is accepted any more: everybody it proved is locked out.",
    fix: "put the successor into the bundle, then take this one out",
    waivable: true,
    check: onRoots(({ certificate, now }) => {
      const endMs = Date.parse(certificate.validTo);
      return endMs <= now ? `ended on ${dayOf(endMs)}` : null;
    }),
  },
  {
    id: "root-expires-soon",
    severity: "warning",
    title: "A trusted root expires within 60 days",
    why: "Its successor has to be trusted on both sides before the first certificate is issued from it.",
    fix: "add the successor to the bundle now",
    waivable: true,
    check: onRoots(({ certificate, now }) => {
      const endMs = Date.parse(certificate.validTo);
      return endMs > now && endMs <= now + rootSoonDays * dayMs ? `ends on ${dayOf(endMs)}` : null;
    }),
  },
  {
    id: "root-weak",
    severity: "error",
    title: "A trusted root is weak",
    why: "Whoever can compute a second key or a colliding certificate becomes any system that this bundle proves.",
    fix: "replace it by a root with EC P-256 or larger, Ed25519, or RSA of at least 2048 bits, and SHA-256",
    waivable: true,
    check: onRoots(({ certificate }) => weakness(certificate)),
  },
  {
    id: "root-in-two-environments",
    severity: "warning",
    title: "Two environments trust the same root",
    why: "A certificate issued for a test is accepted in production, wherever the name in it is the same.",
    fix: "let each environment have a CA, or an intermediate, of its own",
    waivable: true,
    check: (lint) => {
      const named = lint.environments.flatMap(({ config, trust }) => {
        const used = new Set(config.systems.flatMap(({ certificates }) => certificates.map((one) => one.trust)));
        return trust
          .filter(({ trust: { name } }) => used.has(name))
          .flatMap(({ trust: bundle, at }) =>
            bundle.roots.map((root) => ({ root, environment: config.name, at: at("roots"), bundle: bundle.name })),
          );
      });
      return [...Map.groupBy(named, ({ root }) => root).values()].flatMap((same) => {
        const names = [...new Set(same.map(({ environment }) => environment))];
        if (names.length < 2) return [];
        return same.map(
          ({ at, bundle }): Hit => ({ at, message: `\`${bundle}\` proves workloads in ${names.join(" and ")}` }),
        );
      });
    },
  },
  {
    id: "bundle-too-wide",
    severity: "warning",
    title: "A bundle trusts more than ten roots",
    why: "Each of them can issue a certificate for any name; a copy of the public roots trusts a hundred companies.",
    fix: "keep the one CA that issues for your workloads",
    waivable: true,
    check: onTrust(
      ({ trust, at }) =>
        trust.roots.length > rootsMax && { at: at("roots"), message: `${trust.roots.length} roots may prove a caller` },
    ),
  },
  {
    id: "bundle-unused",
    severity: "info",
    title: "Nothing names a bundle",
    why: "A root that nobody needs is one more to watch, and the next certificate rule picks it by mistake.",
    fix: "remove the file",
    waivable: true,
    check: (lint) => {
      if (isIncomplete(lint)) return [];
      const used = new Set(
        lint.estate.environments.flatMap(({ systems }) => systems.flatMap((system) => trustOf(system))),
      );
      return onTrust(
        ({ trust, at }) => !used.has(trust.name) && { at: at("trust"), message: `nothing names \`${trust.name}\`` },
      )(lint);
    },
  },
];

/** Every bundle that a system names. */
function trustOf({ certificates, upstream, clients }: SystemConfig): readonly (string | undefined)[] {
  const named = clients.map(({ authentication: way }) =>
    way?.method === "tls_client_auth" ? way.identity.trust : undefined,
  );
  return [...certificates.map(({ trust }) => trust), upstream?.trust, upstream?.nextHop?.outside?.trust, ...named];
}

export const estateRules: readonly Rule[] = [
  {
    id: "no-operators",
    severity: "info",
    title: "The estate declares no operators",
    why: "Everything is done with the key file of the first start: the log says the same name whoever it was.",
    fix: "declare `operators` in sallyport.yaml, each with a public key of a pair that person keeps",
    waivable: true,
    check: ({ estate, sources }) =>
      estate.operators.length > 0
        ? []
        : [{ at: estatePlace(sources, "operators"), message: "nobody is declared who may use the admin API" }],
  },
  {
    id: "single-operator",
    severity: "info",
    title: "There is one operator",
    why: "Nobody approves their own request: with one person an approval rule stops everything, and so does a holiday.",
    fix: "declare a second operator",
    waivable: true,
    check: ({ estate, sources }) =>
      estate.operators.length !== 1
        ? []
        : [{ at: estatePlace(sources, "operators"), message: "there is nobody to approve, and nobody to stand in" }],
  },
  {
    id: "no-approval",
    severity: "warning",
    title: "Production has no approval rule",
    why: "Whoever can apply a directory opens an access at once, alone.",
    fix: "write `environments: { production: { approval: operator } }`",
    waivable: true,
    check: (lint) =>
      onEnvironments(({ config }): readonly Hit[] => {
        if (config.approval === "operator" || !/^prod/.test(config.name)) return [];
        const at = estatePlace(lint.sources, "environments", config.name);
        const message = `an applied integration is active in ${config.name} at once`;
        return [{ at, message, severity: lint.estate.operators.length < 2 ? "info" : "warning" }];
      })(lint),
  },
  {
    id: "staleness-loose",
    severity: "warning",
    title: "A staleness bound is loose for its classification",
    why: "So long a gateway that is cut off from its control plane goes on serving callers that were revoked meanwhile.",
    fix: "keep restricted at 30s, confidential at 15m, internal at 1h or less",
    waivable: true,
    check: (lint) =>
      onEnvironments(({ config }) =>
        Object.entries(stalenessMaxMs)
          .map(([name, maxMs]) => ({
            name,
            maxMs,
            boundMs: Object.entries(config.stalenessMs).find(([key]) => key === name)?.[1] ?? 0,
          }))
          .filter(({ maxMs, boundMs }) => boundMs > maxMs)
          .map(({ name, boundMs }) => ({
            at: estatePlace(lint.sources, "environments", config.name, "staleness", name),
            message: `${name} operations are served for ${boundMs / 1000} s after the last word from the control plane`,
          })),
      )(lint),
  },
  {
    id: "listener-cleartext",
    severity: "warning",
    title: "Callers reach a listener over plain http",
    why: "Tokens and bodies cross the network in clear, and nothing proves the gateway to its callers.",
    fix: "write the https URL that callers use; whoever ends TLS in front must be the only way in",
    waivable: true,
    check: (lint) =>
      onListeners(lint, ({ url }) =>
        url.protocol === "http:" && !/^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
          ? `callers come to \`${url.hostname}\` in clear`
          : null,
      ),
  },
  {
    id: "listener-any-address",
    severity: "warning",
    title: "A listener's URL names every address",
    why: "No client calls 0.0.0.0: proofs are checked against this URL, so none that a real client makes is accepted.",
    fix: "write the name that clients call, for example `https://api.acme.example`",
    waivable: true,
    check: (lint) =>
      onListeners(lint, ({ url }) =>
        ["0.0.0.0", "[::]", "*"].includes(url.hostname) ? `\`${url.hostname}\` is no name that a client calls` : null,
      ),
  },
  {
    id: "operation-unused",
    severity: "info",
    title: "Operations that nobody is granted",
    why: "They are denied to everybody, so nothing is open; but a list that is half unused hides what matters.",
    fix: "remove them, or grant them",
    waivable: true,
    check: (lint) => {
      if (isIncomplete(lint)) return [];
      const used = new Set(
        lint.environments.flatMap(({ systems }) =>
          systems.flatMap(({ operations }) =>
            operations.filter(({ grantedBy }) => grantedBy.length > 0).map(({ action }) => action),
          ),
        ),
      );
      return onSystems(({ system, operations, at }) => {
        const unused = operations.filter(({ action }) => !used.has(action)).map(({ operation }) => operation.name);
        const shown = unused.slice(0, 3).map((name) => `\`${name}\``);
        const more = unused.length > 3 ? ` and ${unused.length - 3} more` : "";
        return (
          unused.length > 0 && {
            at: at("operations"),
            message: `nobody is granted ${shown.join(", ")}${more} of \`${system.id}\``,
          }
        );
      })(lint);
    },
  },
  {
    id: "system-unused",
    severity: "info",
    title: "A system that nobody uses and that uses nobody",
    why: "Its keys can still get tokens, its certificate is still accepted, and nobody would miss it.",
    fix: "remove the file",
    waivable: true,
    check: (lint) => {
      if (isIncomplete(lint)) return [];
      const used = new Set(
        lint.estate.environments.flatMap(({ integrations }) => integrations.flatMap(({ from, to }) => [from, to])),
      );
      return onSystems(
        ({ system, at }) =>
          !used.has(system.id) && { at: at("system"), message: `nothing crosses from or to \`${system.id}\`` },
      )(lint);
    },
  },
  {
    id: "operations-overlap",
    severity: "info",
    title: "Two operations match the same request",
    why: "The more literal path wins; whoever renames or removes it sends its callers to the other one.",
    fix: "give each a path that the other cannot match",
    waivable: true,
    check: onSystems(({ operations }) =>
      operations.flatMap((one, index) =>
        operations
          .slice(index + 1)
          .filter(
            (other) =>
              other.operation.method === one.operation.method && overlap(one.operation.path, other.operation.path),
          )
          .map((other): Hit => {
            const message = `\`${other.operation.name}\` and \`${one.operation.name}\` match the same requests`;
            return { at: other.at("match"), message };
          }),
      ),
    ),
  },
  {
    id: "public-path-nested",
    severity: "info",
    title: "A system is published below another one",
    why: "The longer prefix wins: an operation the outer system adds below it is never reached, and a removed inner system hands its callers over.",
    fix: "give each system a `public.path` of its own",
    waivable: true,
    check: onSystems(({ system, environment, at }) => {
      const own = system.public;
      const outer = environment.systems.find(
        (other) =>
          other.id !== system.id &&
          other.operations.length > 0 &&
          system.operations.length > 0 &&
          other.public.host === own.host &&
          own.path.startsWith(`${other.public.path.replace(/\/$/, "")}/`),
      );
      return (
        outer !== undefined && {
          at: at("public", "path"),
          message: `\`${own.path}\` lies below \`${outer.public.path}\` of \`${outer.id}\``,
        }
      );
    }),
  },
];

interface RootSubject {
  readonly certificate: X509Certificate;
  readonly now: number;
}

function onRoots(check: (root: RootSubject) => string | null): NonNullable<Rule["check"]> {
  return onTrust(({ trust, at }, { now }) =>
    trust.roots.flatMap((pem): Hit[] => {
      const certificate = parsedRoot(pem);
      const said = check({ certificate, now });
      if (said === null) return [];
      const name = certificate.subject.replaceAll("\n", ", ").slice(0, 100);
      return [{ at: at("roots"), message: `the root \`${name}\` of \`${trust.name}\` ${said}` }];
    }),
  );
}

const parsedRootsMax = 256;
const parsedRoots = new Map<string, X509Certificate>();

/** Four rules look at the same few certificates. */
function parsedRoot(pem: string): X509Certificate {
  const known = parsedRoots.get(pem);
  if (known !== undefined) return known;
  if (parsedRoots.size >= parsedRootsMax) parsedRoots.clear();
  const certificate = new X509Certificate(pem);
  parsedRoots.set(pem, certificate);
  return certificate;
}

const strongCurves = new Set(["prime256v1", "secp384r1", "secp521r1"]);

function weakness(certificate: X509Certificate): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = certificate.publicKey;
  if ((type === "rsa" || type === "rsa-pss") && (details?.modulusLength ?? 0) < rsaBitsMin)
    return `has an RSA key of ${details?.modulusLength ?? "unknown"} bits`;
  if (type === "dsa") return "has a DSA key";
  if (type === "ec" && !strongCurves.has(details?.namedCurve ?? ""))
    return `is on the curve ${details?.namedCurve ?? "unknown"}`;
  const { signatureAlgorithm } = certificate;
  return signatureAlgorithm !== undefined && /(^|[^a-z])(md2|md4|md5|sha-?1)([^0-9]|$)|sha1/i.test(signatureAlgorithm)
    ? `is signed with ${signatureAlgorithm}`
    : null;
}

function onListeners(
  lint: Parameters<NonNullable<Rule["check"]>>[0],
  check: (listener: { readonly url: URL }) => string | null,
): readonly Hit[] {
  return lint.environments.flatMap(({ config }) =>
    config.listeners.flatMap(({ name, url }): Hit[] => {
      const message = check({ url: new URL(url) });
      return message === null ? [] : [{ at: estatePlace(lint.sources, "listeners", name, "url"), message }];
    }),
  );
}

/** Can one path match both? Same number of segments, each equal or a parameter on one side. Equal templates are refused by the loader. */
function overlap(one: string, other: string): boolean {
  const a = one.split("/");
  const b = other.split("/");
  return (
    a.length === b.length &&
    a.every((segment, index) => segment === b[index] || segment.startsWith("{") || (b[index] ?? "").startsWith("{"))
  );
}
