// Promises how a system proves who it is: its client with the one way that client may use, and its certificate identities.
// Trusts the types (identity-schema.ts) and attachments.ts. Specified in docs/configuration.md and docs/identity/client-authentication.md.
import type { SignaturesObject } from "@sallyport/protocol/signature/signature-key.ts";
import type { CertificateIdentity } from "@sallyport/protocol/snapshot/objects.ts";
import { readJwks, readCertificates as readPemCertificates } from "./attachments.ts";
import type { ClientAuthentication, ClientConfig, KeysUri, PublicJwk } from "./estate.ts";
import type { EstateIo } from "./estate-io.ts";
import { errorAt, type Finding, warningAt } from "./finding.ts";
import type { CertificateSource, IdentitySource } from "./identity-schema.ts";
import { readClientGrants } from "./read-client-grants.ts";
import { readKeysUri } from "./read-keys-uri.ts";
import { readClientLogout } from "./read-logout.ts";
import { readSignatures } from "./signatures-schema.ts";
import { clientTokensOf } from "./tokens-schema.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

export interface IdentityReading {
  readonly clients: readonly ClientConfig[];
  readonly certificates: readonly CertificateIdentity[];
  readonly signatures?: SignaturesObject;
  readonly findings: readonly Finding[];
}

interface Reader {
  readonly io: EstateIo;
  readonly tree: MapTree;
  readonly findings: Finding[];
}

export function readIdentity(io: EstateIo, tree: MapTree, source: IdentitySource | undefined): IdentityReading {
  const reader: Reader = { io, tree, findings: [] };
  const clients = source === undefined ? [] : readClients(reader, source);
  const certificates = readCertificates(reader, source?.certificate);
  const { findings, ...signed } = readSignatures(io, tree, source?.signatures);
  return { clients, certificates, ...signed, findings: [...reader.findings, ...findings] };
}

/** Keys that say how a client proves itself; those of one group are one way. */
const ways = ["keys", "jwksUri", "tls", "secrets"] as const;
const groupOf = (way: (typeof ways)[number]) => (way === "jwksUri" ? "keys" : way);

function readClients(reader: Reader, source: IdentitySource): readonly ClientConfig[] {
  const { tree, findings } = reader;
  const { client } = source;
  const said = ways.filter((way) => (way === "keys" ? source.keys.length > 0 : source[way] !== undefined));
  const keys = source.keys.flatMap((file, index): PublicJwk[] => {
    const jwks = readJwks(reader.io, spotOf(tree, ["identity", "keys", index]), file);
    findings.push(...jwks.findings);
    return jwks.value;
  });
  const [first] = said;
  const second = said.find((way) => first !== undefined && groupOf(way) !== groupOf(first));
  if (client === undefined) {
    if (first !== undefined)
      findings.push(
        errorAt(
          spotOf(tree, ["identity", first], "key"),
          first === "keys"
            ? "keys without a `client` they belong to"
            : `\`${first}\` without a \`client\` it belongs to`,
          "add `client: <id>`",
        ),
      );
    return [];
  }
  if (second !== undefined) {
    const message = `a second way to authenticate beside \`${first}\`: whoever has the weaker one is the client`;
    findings.push(errorAt(spotOf(tree, ["identity", second], "key"), message, "keep one of them"));
    return [];
  }
  const authentication = readAuthentication(reader, source);
  const grants = readClientGrants(reader, source);
  const logout = readClientLogout(reader, source);
  const published = readPublished(reader, source);
  return [
    {
      id: client,
      keys,
      ...(published === null ? {} : { published }),
      ...(authentication === null ? {} : { authentication }),
      ...grants,
      ...logout,
      ...clientTokensOf(source.tokens),
    },
  ];
}

function readPublished(reader: Reader, { jwksUri, jwksServer }: IdentitySource): KeysUri | null {
  if (jwksUri === undefined) {
    if (jwksServer !== undefined)
      reader.findings.push(
        errorAt(
          spotOf(reader.tree, ["identity", "jwksServer"], "key"),
          "`jwksServer` without a `jwksUri` it is for",
          "add `jwksUri: https://…`",
        ),
      );
    return null;
  }
  const where = { at: ["identity", "jwksUri"], word: "jwksServer: { allowPrivate: true }" };
  const { allowPrivate = false, ca: trust } = jwksServer ?? {};
  return readKeysUri(reader, where, { uri: jwksUri, allowPrivate, trust });
}

/** Null: `private_key_jwt` with the keys that stand here and in rows. */
function readAuthentication(reader: Reader, source: IdentitySource): ClientAuthentication | null {
  if (source.tls !== undefined) return readTls(reader, source.tls);
  if (source.secrets !== undefined) return readSecrets(reader, source.secrets);
  return null;
}

const tlsNameKinds = ["uri", "dns", "ip", "email", "subject"] as const;

function readTls(reader: Reader, source: NonNullable<IdentitySource["tls"]>): ClientAuthentication | null {
  const { tree, findings, io } = reader;
  const { trust, selfSigned } = source;
  const names = tlsNameKinds.flatMap((kind) => {
    const value = source[kind];
    return value === undefined ? [] : [{ kind, value }];
  });
  const refuse = (message: string, fix: string) => {
    findings.push(errorAt(spotOf(tree, ["identity", "tls"], "key"), message, fix));
    return null;
  };
  const [name] = names;
  if (names.length + (selfSigned === undefined ? 0 : 1) !== 1)
    return refuse(
      "`tls` needs exactly one of `uri`, `dns`, `ip`, `email`, `subject` and `selfSigned`",
      "keep the one your certificates carry",
    );
  if (selfSigned !== undefined) {
    if (trust !== undefined) return refuse("a certificate that is declared itself needs no bundle", "remove `trust`");
    const x5t = selfSigned.flatMap((file, index) => {
      const read = readPemCertificates(io, spotOf(tree, ["identity", "tls", "selfSigned", index]), file);
      findings.push(...read.findings);
      return read.value;
    });
    return { method: "self_signed_tls_client_auth", x5t };
  }
  if (trust === undefined || name === undefined)
    return refuse("a name without a bundle is anybody's name", "add `trust: <bundle>`");
  return { method: "tls_client_auth", identity: { trust, ...name } };
}

function readSecrets(
  { tree, findings, io }: Reader,
  source: NonNullable<IdentitySource["secrets"]>,
): ClientAuthentication {
  const { reason, until } = source;
  findings.push(
    until <= io.now()
      ? warningAt(spotOf(tree, ["identity", "secrets", "until"]), {
          rule: "client-secret-ended",
          message: "secrets of this client are no longer accepted",
          fix: "give the client a key or a certificate, or write a later day",
        })
      : warningAt(spotOf(tree, ["identity", "secrets"], "key"), {
          rule: "client-secret-accepted",
          message: "the client proves itself by a secret that travels with every request",
          fix: "give it a key or a certificate before `until`",
        }),
  );
  return { method: "client_secret_basic", reason, untilMs: until };
}

function readCertificates(
  { tree, findings }: Reader,
  written: IdentitySource["certificate"],
): readonly CertificateIdentity[] {
  if (written === undefined) return [];
  const many = Array.isArray(written);
  return (many ? written : [written]).flatMap((certificate, index) => {
    const identity = certificateOf(certificate);
    if (identity !== null) return [identity];
    const at = many ? ["identity", "certificate", index] : ["identity", "certificate"];
    findings.push(
      errorAt(
        spotOf(tree, at),
        "a certificate needs exactly one of `uri`, `dns` and `x5t`",
        "keep the one your certificates carry",
      ),
    );
    return [];
  });
}

/** Null: not exactly one name. */
export function certificateOf({ trust, uri, dns, x5t }: CertificateSource): CertificateIdentity | null {
  const kinds = [
    ["uri", uri],
    ["dns", dns],
    ["x5t", x5t],
  ] as const;
  const [first, second] = kinds.flatMap(([kind, value]) => (value === undefined ? [] : [{ trust, kind, value }]));
  return first !== undefined && second === undefined ? first : null;
}
