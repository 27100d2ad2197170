// Promises passkeys of this very origin only: user verified, challenge ours and (by the caller) used up, counter forward, credential its user's own.
// Trusts @simplewebauthn/server for CBOR, COSE and signatures, and nothing it does not check itself for origin, frames and sizes.
// This is the only file that imports it. Specified in WebAuthn Level 3 §7.1, §7.2; docs/identity/people.md "Passkeys".
import { isIP } from "node:net";
import type * as webauthn from "@simplewebauthn/server";
import { z } from "zod";
import type { NewPasskey } from "./credential-commands.ts";
import type { StoredPasskey } from "./user-commands.ts";

/** Loaded with the first passkey: it costs a start some 400 ms and 28 MB, and most installations have no people. */
const loadWebauthn = (): Promise<typeof webauthn> => import("@simplewebauthn/server");

/** ES256, EdDSA, RS256 (COSE): what authenticators have. */
const algorithms = [-7, -8, -257];
const promptTimeoutMs = 120_000;
const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/);
const transport = z.string().regex(/^[a-z-]{1,32}$/);

/** Where passkeys are good: a relying party id (a domain) and the one origin that may ask for them. */
export interface PasskeyPlace {
  readonly rpId: string;
  readonly origin: string;
}

/** null: an address is no relying party (WebAuthn §5.1.2 wants a domain), so there are no passkeys at this issuer. */
export function passkeyPlace(issuer: string): PasskeyPlace | null {
  const { hostname, origin } = new URL(issuer);
  return isIP(hostname.replace(/^\[|\]$/g, "")) === 0 ? { rpId: hostname, origin } : null;
}

/** Options of `navigator.credentials.create`, as JSON (WebAuthn §5.1.8). */
export function registrationOptions(
  place: PasskeyPlace,
  input: {
    readonly user: string;
    readonly name: string;
    readonly challenge: string;
    readonly known: readonly StoredPasskey[];
  },
): object {
  return {
    rp: { id: place.rpId, name: place.rpId },
    // The opaque id, so that an authenticator holds nothing it was not told on purpose (§14.6.1).
    user: { id: Buffer.from(input.user).toString("base64url"), name: input.name, displayName: input.name },
    challenge: input.challenge,
    pubKeyCredParams: algorithms.map((alg) => ({ type: "public-key", alg })),
    timeout: promptTimeoutMs,
    excludeCredentials: input.known.map(({ id, transports }) => ({ type: "public-key", id, transports })),
    authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
    attestation: "none",
  };
}

/** Options of `navigator.credentials.get`: whichever passkey of this place the person chooses; nobody is named, so nobody is shown to exist. */
export function assertionOptions(place: PasskeyPlace, challenge: string): object {
  return { rpId: place.rpId, challenge, timeout: promptTimeoutMs, userVerification: "required", allowCredentials: [] };
}

const registration = z.object({
  id: base64url.max(1_364),
  rawId: base64url.max(1_364),
  type: z.literal("public-key"),
  response: z.object({
    clientDataJSON: base64url.max(4_096),
    attestationObject: base64url.max(8_192),
    transports: z.array(transport).max(8).default([]),
  }),
});

const assertion = z.object({
  id: base64url.max(1_364),
  rawId: base64url.max(1_364),
  type: z.literal("public-key"),
  response: z.object({
    clientDataJSON: base64url.max(4_096),
    authenticatorData: base64url.max(4_096),
    signature: base64url.max(2_048),
    userHandle: base64url.max(128),
  }),
});

export type Registration = z.infer<typeof registration>;
export type Assertion = z.infer<typeof assertion>;

/** What a browser sent, in shape; null otherwise. */
export function parseRegistration(json: string): Registration | null {
  return parsed(registration, json);
}

export function parseAssertion(json: string): Assertion | null {
  return parsed(assertion, json);
}

function parsed<T>(schema: z.ZodType<T>, json: string): T | null {
  try {
    return schema.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}

/** The challenge a response answers, as it says; the caller opens it before anything else is believed. */
export function challengeOf({ response }: Registration | Assertion): string {
  const { challenge } = clientDataOf(response.clientDataJSON);
  return typeof challenge === "string" ? challenge : "";
}

function clientDataOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** The library lets a frame of another origin pass where a browser does not name the top one; here none does. */
function isFramed({ response }: Registration | Assertion): boolean {
  const { crossOrigin, topOrigin } = clientDataOf(response.clientDataJSON);
  return (crossOrigin !== undefined && crossOrigin !== false) || topOrigin !== undefined;
}

export type PasskeyRefusal = {
  readonly kind: "refused";
  readonly code: "passkey-frame" | "passkey-invalid" | "passkey-owner";
};

/** Checks a new passkey. `challenge`: one that was opened and used up. */
export async function verifyNewPasskey(
  place: PasskeyPlace,
  challenge: string,
  response: Registration,
): Promise<{ readonly kind: "passkey"; readonly passkey: NewPasskey } | PasskeyRefusal> {
  if (isFramed(response)) return { kind: "refused", code: "passkey-frame" };
  const { verifyRegistrationResponse } = await loadWebauthn();
  const outcome = await verifyRegistrationResponse({
    // as: the shape is checked above; transports are words of a newer list than the library's type.
    response: { ...response, clientExtensionResults: {} } as Parameters<
      typeof verifyRegistrationResponse
    >[0]["response"],
    expectedChallenge: challenge,
    expectedOrigin: place.origin,
    expectedRPID: place.rpId,
    expectedType: "webauthn.create",
    requireUserVerification: true,
    supportedAlgorithmIDs: algorithms,
  }).catch(() => null);
  if (outcome?.verified !== true) return { kind: "refused", code: "passkey-invalid" };
  const { credential, credentialDeviceType } = outcome.registrationInfo;
  return {
    kind: "passkey",
    passkey: {
      id: credential.id,
      publicKey: Uint8Array.from(credential.publicKey),
      counter: credential.counter,
      synced: credentialDeviceType === "multiDevice",
      transports: response.response.transports,
    },
  };
}

/** Checks a log-in against the stored passkey. The counter it gives must still be stored by compare-and-set (`usePasskey`). */
export async function verifyPasskey(
  place: PasskeyPlace,
  challenge: string,
  input: { readonly response: Assertion; readonly passkey: StoredPasskey },
): Promise<{ readonly kind: "verified"; readonly counter: number } | PasskeyRefusal> {
  const { response, passkey } = input;
  if (isFramed(response)) return { kind: "refused", code: "passkey-frame" };
  // §7.2 step 6: nobody was named before, so the authenticator names the user, and must name the credential's own.
  const owner = Buffer.from(response.response.userHandle, "base64url").toString("utf8");
  if (owner !== passkey.user || response.id !== passkey.id) return { kind: "refused", code: "passkey-owner" };
  const { verifyAuthenticationResponse } = await loadWebauthn();
  const outcome = await verifyAuthenticationResponse({
    response: { ...response, clientExtensionResults: {} },
    expectedChallenge: challenge,
    expectedOrigin: place.origin,
    expectedRPID: place.rpId,
    expectedType: "webauthn.get",
    requireUserVerification: true,
    credential: { id: passkey.id, publicKey: Uint8Array.from(passkey.publicKey), counter: passkey.counter },
  }).catch(() => null);
  if (outcome?.verified !== true) return { kind: "refused", code: "passkey-invalid" };
  return { kind: "verified", counter: outcome.authenticationInfo.newCounter };
}
