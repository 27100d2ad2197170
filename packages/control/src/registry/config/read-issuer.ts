// Promises one trusted outside issuer, as one environment sees it, with its preset spelled out and its mappings pinned to ids that nobody else can have.
// Trusts the types (issuer-schema.ts) and outside-jwk.ts for keys. docs/identity/outside-issuers.md.
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { type OutsideAlgorithm, readOutsideKeys } from "@sallyport/protocol/token/outside-jwk.ts";
import type { OutsideKind } from "@sallyport/protocol/token/outside-token.ts";
import { attachmentBytesMax } from "./bounds.ts";
import type { IssuerConfig } from "./estate.ts";
import { type EstateIo, readNamed } from "./estate-io.ts";
import { errorAt, type Finding, placeOf } from "./finding.ts";
import { type IssuerSource, issuerSchema } from "./issuer-schema.ts";
import { hasNoKeys, readIntrospection } from "./read-introspection.ts";
import { readKeysUri } from "./read-keys-uri.ts";
import { accessRules, refuseLooseAccess } from "./read-outside-access.ts";
import { shape } from "./shape.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

export interface IssuerReading {
  readonly issuer: IssuerConfig | null;
  readonly findings: readonly Finding[];
}

interface Preset {
  readonly kind: OutsideKind;
  readonly algorithms: readonly OutsideAlgorithm[] | null;
  /** Claims every mapping must pin: names are given to others after a rename, these ids are not. */
  readonly pins: readonly string[];
  readonly needsSubject: boolean;
  /** What stands beside our audience in every such token and can do nothing with it. */
  readonly companions: readonly string[];
}

/** Audience of every Keycloak token that no audience mapper touched: it says that the token is of that realm and nothing else. */
export const everybodysAudience = "account";

const presets: Readonly<Record<IssuerSource["preset"], Preset>> = {
  assertion: { kind: "assertion", algorithms: null, pins: [], needsSubject: false, companions: [] },
  "access-token": { kind: "access-token", algorithms: null, pins: [], needsSubject: false, companions: [] },
  keycloak: {
    kind: "keycloak",
    algorithms: ["RS256"],
    pins: [],
    needsSubject: false,
    companions: [everybodysAudience],
  },
  kubernetes: {
    kind: "kubernetes",
    algorithms: ["RS256"],
    pins: ["/kubernetes.io/serviceaccount/uid"],
    needsSubject: true,
    companions: [],
  },
  github: {
    kind: "assertion",
    algorithms: ["RS256"],
    pins: ["repository_id", "repository_owner_id"],
    needsSubject: true,
    companions: [],
  },
};

/** `tree` has the overrides of one environment merged in. */
export function readIssuer(io: EstateIo, tree: MapTree): IssuerReading {
  const shaped = shape(issuerSchema, tree);
  if (shaped.value === null) return { issuer: null, findings: shaped.findings };
  const source = shaped.value;
  const preset = presets[source.preset];
  const findings: Finding[] = [
    ...refuseLooseAudience(tree, source),
    ...refuseLooseMappings(tree, source, preset),
    ...refuseLooseAccess(tree, source, preset.kind),
  ];
  const algorithms = source.algorithms ?? preset.algorithms ?? [];
  const isKeyless = hasNoKeys(source);
  if (algorithms.length === 0 && !isKeyless)
    findings.push(
      errorAt(
        spotOf(tree, ["algorithms"]),
        "`algorithms` is missing",
        "write the ones its keys sign with, for example `[ES256]`",
      ),
    );
  const keys: IssuerConfig["keys"] = isKeyless
    ? { from: "file", keys: [] }
    : readKeys(io, tree, { source, algorithms, findings });
  const asked = readIntrospection(tree, source, findings);
  const issuer: IssuerConfig = {
    id: source.issuer,
    url: source.url,
    kind: preset.kind,
    algorithms,
    audiences: source.audiences ?? [],
    companions: [...new Set([...source.companions, ...preset.companions])],
    parties: source.parties ?? null,
    lifetimeSecondsMax: Math.floor(source.lifetime / 1_000),
    keys,
    systems: source.systems.map(({ system, subject, claims }) => ({
      system,
      ...(subject === undefined ? {} : { subject }),
      claims,
    })),
    ...accessRules(source),
    ...asked,
    declaredAt: placeOf(spotOf(tree, ["issuer"], "key")),
  };
  return { issuer: findings.length > 0 ? null : issuer, findings };
}

function refuseLooseAudience(tree: MapTree, source: IssuerSource): Finding[] {
  if (source.audiences?.includes(everybodysAudience) !== true || source.parties !== undefined) return [];
  return [
    errorAt(
      spotOf(tree, ["audiences"]),
      "every token of the realm has the audience `account`, whoever it was made for",
      "name the clients in `parties`, or give the client scope an audience mapper and write that audience",
    ),
  ];
}

function refuseLooseMappings(tree: MapTree, source: IssuerSource, preset: Preset): Finding[] {
  return source.systems.flatMap(({ subject, claims }, index): Finding[] => {
    const at = ["systems", index];
    if (subject === undefined && Object.keys(claims).length === 0)
      return [
        errorAt(
          spotOf(tree, at),
          "the mapping pins nothing: every token of this issuer would fit",
          "add `subject` or `claims`",
        ),
      ];
    const missing = preset.pins.filter((pin) => !Object.hasOwn(claims, pin));
    if (missing.length > 0)
      return [
        errorAt(
          spotOf(tree, at),
          `the mapping pins a name that can be given to somebody else later`,
          `pin the id that cannot: ${missing.map((pin) => `\`${pin}\``).join(" and ")} under \`claims\``,
        ),
      ];
    if (preset.needsSubject && subject === undefined)
      return [
        errorAt(spotOf(tree, at), "the mapping does not say which job or workload", "add `subject: <the whole sub>`"),
      ];
    return [];
  });
}

interface KeyReader {
  readonly source: IssuerSource;
  readonly algorithms: readonly OutsideAlgorithm[];
  readonly findings: Finding[];
}

function readKeys(io: EstateIo, tree: MapTree, { source, algorithms, findings }: KeyReader): IssuerConfig["keys"] {
  const { jwks, jwksUri } = source;
  const none: IssuerConfig["keys"] = { from: "file", keys: [] };
  if ((jwks === undefined) === (jwksUri === undefined)) {
    const spot = jwks === undefined ? tree.at : spotOf(tree, ["jwks"], "key");
    findings.push(
      errorAt(spot, "keys come from exactly one of `jwks` and `jwksUri`", "name a file, or where they are published"),
    );
    return none;
  }
  if (jwksUri !== undefined) {
    const { allowPrivate } = source;
    const declared = { uri: jwksUri, allowPrivate, trust: source.tls?.ca };
    const where = { at: ["jwksUri"], word: "allowPrivate: true" };
    return { from: "uri", ...readKeysUri({ tree, findings }, where, declared) };
  }
  const spot = spotOf(tree, ["jwks"]);
  const read = readNamed(io, spot.file, jwks ?? "");
  if ("message" in read) {
    findings.push(errorAt(spot, read.message, read.fix));
    return none;
  }
  const set =
    read.text.length > attachmentBytesMax ? null : readOutsideKeys(Buffer.from(read.text), algorithms, { sha256 });
  if (set === null)
    findings.push(errorAt(spot, `${read.file}: not a JWKS`, 'write {"keys": [ … ]} with public keys (RFC 7517 §5)'));
  for (const { kid, why } of set?.leftOut ?? [])
    findings.push(
      errorAt(
        spot,
        `${read.file}: key ${kid ?? "without kid"} is not usable (${why})`,
        "see docs/formats/outside-token.md §2",
      ),
    );
  return { from: "file", keys: set?.keys ?? [] };
}
