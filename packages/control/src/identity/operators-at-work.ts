// Promises the operators' issuer with its own ring, its first operator and those the estate declares. Trusts operators.ts and the admin listener.
// Specified in docs/identity.md "Operators".
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import type { Foundations } from "../foundations.ts";
import type { OperatorConfig } from "../registry/config/estate.ts";
import { createIssuanceRecorder, type IssuanceRecorder } from "./issuance-record.ts";
import { type KeyRing, openKeyRing } from "./keys.ts";
import { createNonceBook } from "./nonce.ts";
import type { StoredOperator } from "./operator-store.ts";
import {
  createFirstOperator,
  createOperatorIssuer,
  declaredOperators,
  type OperatorIssuer,
  type OperatorVerdict,
  operatorEnvironment,
} from "./operators.ts";
import { createReplayGuard } from "./replay.ts";

export interface OperatorsOptions {
  readonly tenant: string;
  readonly region: string;
  readonly foundations: Foundations;
  readonly adminUrl: string;
  readonly nonceSecret: Uint8Array;
  /** SHA-256 of the admin listener's SubjectPublicKeyInfo, base64. */
  readonly pin: string;
  readonly crypto: TokenCrypto;
  readonly clock: Clock;
  readonly random: Random;
  readonly rotateEveryMs: number;
  /** Request header in which the admin listener puts the source address. */
  readonly peerAddressHeader: string;
  /** Of the operators' environment: `openOperatorRecorder`. */
  readonly record: IssuanceRecorder;
}

export interface Operators {
  readonly issuer: OperatorIssuer;
  authenticate(request: Request): Promise<OperatorVerdict>;
  /** Operators of one estate, in place of those it declared before; other estates' stay. What differs is recorded in the name of `actor`. */
  declare(actor: string, managedBy: string, operators: readonly OperatorConfig[]): Promise<void>;
  /** Path of the key file of the first operator, when it was made just now. */
  first(directory: string): Promise<string | null>;
  tick(): Promise<void>;
  flush(): Promise<void>;
}

/** Records what operators are given and refused, and strangers at the doors that are nobody's environment. */
export async function openOperatorRecorder({
  foundations,
  ...options
}: Pick<OperatorsOptions, "tenant" | "region" | "clock" | "random" | "foundations">): Promise<IssuanceRecorder> {
  const { log, pseudonyms, node, nextId, opener } = foundations;
  await pseudonyms.key(operatorEnvironment);
  return createIssuanceRecorder({
    ...options,
    ...{ environment: operatorEnvironment, node, log, nextId, recipient: opener.publicKey },
    pseudonym: (domain, value) => pseudonyms.now(operatorEnvironment, domain, value),
  });
}

export async function openOperators(options: OperatorsOptions): Promise<Operators> {
  const { tenant, foundations, adminUrl, clock, random, crypto, record } = options;
  const { store } = foundations;
  const ring = await openOperatorRing(options);
  /** By estate: bounded by the estates that are applied. */
  const declared = new Map<string, readonly StoredOperator[]>();
  const issuer = createOperatorIssuer({
    tenant,
    adminUrl,
    ring: () => ring.view(),
    store,
    replay: createReplayGuard(store),
    nonces: createNonceBook({ secret: options.nonceSecret, domain: adminUrl, clock }),
    crypto,
    clock,
    random,
    record,
    declared: () => [...declared.values()].flat(),
  });
  return {
    issuer,
    authenticate: (request) => {
      const { headers, method } = request;
      const url = new URL(request.url);
      return issuer.authenticate({
        method,
        url: url.origin + url.pathname,
        authorizations: valuesOf(headers, "authorization"),
        proofs: valuesOf(headers, "dpop"),
        address: headers.get(options.peerAddressHeader) ?? "",
      });
    },
    declare: async (actor, managedBy, operators) => {
      const parsed = operators.map(({ id, keys, roles }) => ({
        ...{ id, roles },
        keys: keys.flatMap((jwk) => parsePublicJwk(jwk) ?? []),
      }));
      const said = parsed.map((operator) => ({
        id: operator.id,
        roles: operator.roles.join(" "),
        keys: declaredOperators([operator], crypto)
          .map(({ kid }) => kid)
          .join(" "),
      }));
      // On record first: nobody may do more than the log says.
      await store.run("declareOperators", { tenant, managedBy, actor, operators: said });
      declared.set(managedBy, declaredOperators(parsed, crypto));
    },
    first: async (directory) =>
      (await createFirstOperator(directory, { tenant, adminUrl, store, random, pin: options.pin }))?.path ?? null,
    tick: async () => {
      await ring.tick();
    },
    flush: () => record.flush(),
  };
}

function openOperatorRing({ tenant, foundations, clock, rotateEveryMs }: OperatorsOptions): Promise<KeyRing> {
  return openKeyRing({
    tenant,
    environment: operatorEnvironment,
    store: foundations.store,
    keyring: foundations.secrets.keyring,
    clock,
    alg: () => "ES256",
    // No gateway verifies operators' tokens: there is nobody to wait for.
    acknowledgedKeySeq: () => Number.POSITIVE_INFINITY,
    rotateEveryMs: () => rotateEveryMs,
    onChange: () => undefined,
  });
}

/** Fetch joins repeated fields with a comma, which neither scheme allows in its value: two values show as one that is refused. */
function valuesOf(headers: Headers, name: string): readonly string[] {
  const value = headers.get(name);
  return value === null ? [] : [value];
}
