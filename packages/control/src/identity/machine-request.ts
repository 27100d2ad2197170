// Promises to take a client's assertion for a machine token only where oidc-provider and our rules behind it would, in a fraction of the time; whatever
// it does not take is judged by them, so that refusals have one origin. Trusts the form reader. RFC 7523 §2.2 and §3, docs/identity.md "Getting a token".
import type { IncomingMessage } from "node:http";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { parseJsonText } from "@sallyport/protocol/token/json.ts";
import { algorithmOf, parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { checkSignature, parseCompactJws } from "@sallyport/protocol/token/jws.ts";
import { assertionBytesMax, decideAssertion } from "./decide-assertion.ts";
import type { Directory, IdentityClient } from "./directory.ts";
import type { Form } from "./endpoint-form.ts";
import { assertionAlgorithms } from "./metadata.ts";
import { PendingAssertion, replayKey } from "./replay.ts";
import type { ClientAuthentication } from "./seams.ts";

export interface MachineParts {
  readonly issuer: string;
  readonly directory: Directory;
  readonly authentication: Pick<ClientAuthentication, "metadataOf">;
  readonly clock: { now(): number };
}

/** A client that has proven itself; its assertion is not used up yet. */
export interface ProvenMachine {
  readonly client: IdentityClient;
  readonly assertion: PendingAssertion;
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/** Everything such a request may say; one parameter more, or one twice, goes the long way. */
const known = new Set(["grant_type", "client_id", "client_assertion", "client_assertion_type", "scope", "resource"]);
/** Names of operations and nothing that anybody could read in another way. */
const scopeForm = /^[A-Za-z0-9:._-]+(?: [A-Za-z0-9:._-]+)*$/;
const scopeLengthMax = 4_096;

/** Keeps the keys of one directory, as it is now: a change of keys makes a new directory or a new handler (issuer.ts). */
export class MachineRequests {
  readonly #parts: MachineParts;
  readonly #crypto = createTokenCrypto();
  /** Keys by `kid`; null: two keys go by that name. */
  readonly #keys = new Map<string, ReadonlyMap<string, VerifyKey | null>>();

  constructor(parts: MachineParts) {
    this.#parts = parts;
  }

  /** Who sent this form; null: it is another request, or not one to take without a closer look. Verifies, and uses nothing up. */
  proven(req: IncomingMessage, form: Form): ProvenMachine | null {
    const text = assertionOf(req, form);
    const jws = text === null ? null : parseCompactJws(text, { bytesMax: assertionBytesMax, keyMember: "kid" });
    if (jws === null || jws.kind === "malformed") return null;
    const claims = parseJsonText(jws.payload);
    const id = claims?.["sub"];
    if (claims === null || typeof id !== "string" || (form["client_id"] ?? id) !== id) return null;
    const { issuer, directory, clock } = this.#parts;
    const client = directory.clients.get(id);
    if (client === undefined || client.isPublic || !client.grantTypes.includes("client_credentials")) return null;
    const key = this.#keyOf(client, jws.header.kid);
    if (key === null || checkSignature(jws, key) !== null) return null;
    const verdict = decideAssertion({ claims, header: { ...jws.header }, issuer, client: id, now: clock.now() });
    if (verdict.kind === "refuse") return null;
    const { jti, until, issuedAt } = verdict;
    return { client, assertion: new PendingAssertion({ key: replayKey(issuer, id, jti), until, issuedAt }) };
  }

  /** The key of that name; without a name the only key of a client that has one. Null: none, or a choice among several. */
  #keyOf(client: IdentityClient, kid: string | undefined): VerifyKey | null {
    const keys = this.#keysOf(client);
    if (kid !== undefined) return keys.get(kid) ?? null;
    const [only = null, other] = keys.values();
    return other === undefined ? only : null;
  }

  #keysOf(client: IdentityClient): ReadonlyMap<string, VerifyKey | null> {
    const held = this.#keys.get(client.id);
    if (held !== undefined) return held;
    const keys = new Map<string, VerifyKey | null>();
    for (const { kid, jwk } of registeredKeys(this.#parts, client)) {
      const parsed = parsePublicJwk(jwk);
      const isUsable = parsed !== null && assertionAlgorithms.some((alg) => alg === algorithmOf(parsed));
      const key = isUsable ? this.#crypto.importKey(parsed) : null;
      keys.set(kid, keys.has(kid) ? null : key);
    }
    this.#keys.set(client.id, keys);
    return keys;
  }
}

/** What the client's way to authenticate tells oidc-provider of its keys. */
function registeredKeys(
  { authentication, clock }: MachineParts,
  client: IdentityClient,
): readonly { readonly kid: string; readonly jwk: Readonly<Record<string, unknown>> }[] {
  const metadata = authentication.metadataOf(client, clock.now());
  if (metadata?.["token_endpoint_auth_method"] !== "private_key_jwt") return [];
  // Made by private-key-jwt.ts, each with its kid.
  const { keys } = metadata["jwks"] as { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  return keys.map((jwk) => ({ kid: String(jwk["kid"]), jwk }));
}

/** The assertion of a form in which everything stands once and with a value, beside no other way to authenticate; null for any other. */
function assertionOf(req: IncomingMessage, form: Form): string | null {
  if (req.headers.authorization !== undefined) return null;
  for (const [name, value] of Object.entries(form)) {
    if (!known.has(name) || value === "") return null;
    if (typeof value !== "string" && name !== "resource") return null;
  }
  const { grant_type, client_assertion_type, client_assertion, scope } = form;
  if (grant_type !== "client_credentials" || client_assertion_type !== assertionType) return null;
  if (scope !== undefined && !(typeof scope === "string" && scope.length <= scopeLengthMax && scopeForm.test(scope)))
    return null;
  return typeof client_assertion === "string" ? client_assertion : null;
}
