// Promises that a workload that holds a one-time code and proves a key of its own makes that key speak for the code's client, and nobody else anything.
// Trusts the listener for bounds, verifyDpopProof for the proof and the store for "once". docs/identity/client-authentication.md "Enrolling a key".
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import { dpopAgeMsMax, dpopAheadMsMax, verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";
import { algorithmOf, type PublicJwk, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";
import { readForm } from "../endpoint-form.ts";
import { sendJson } from "../json-answer.ts";
import { replayKey } from "../replay.ts";
import type { IssuerRoute } from "../seams.ts";
import { addressOf } from "../source-address.ts";
import type { GrantPorts } from "../token-grant.ts";
import type { EnrolmentCommands } from "./enrolment-commands.ts";
import { digestOf } from "./secret.ts";

export const enrolmentPath = "/client-keys";

export interface EnrolmentOptions {
  readonly issuer: string;
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<EnrolmentCommands>, "run">;
  readonly crypto: TokenCrypto;
  readonly ports: Pick<GrantPorts, "clock" | "nonces" | "replay" | "record">;
  /** The directory takes up what was written. */
  readonly enrolled: () => Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, string | number | null>>;
}

interface Refusal extends Answer {
  /** For the record. */
  readonly code: string;
}

const codeForm = /^spe1_[A-Za-z0-9_-]{43}$/;
const refuse = (status: number, error: string, code: string, fix: string): Refusal => ({
  status,
  code,
  body: { error, error_description: fix },
});

/** `POST <issuer>/client-keys`: a form with `code` and `jwk`, and a DPoP proof by that key over the code (`ath`). */
export function enrolmentRoute(options: EnrolmentOptions): IssuerRoute {
  const { ports } = options;
  return {
    method: "POST",
    path: enrolmentPath,
    query: false,
    serve: async (req, res) => {
      const answer = await enrol(req, options);
      if ("code" in answer) await ports.record.refused({ client: null, code: answer.code, address: addressOf(req) });
      sendJson(res, answer.status, answer.body, { "DPoP-Nonce": ports.nonces.issue() });
    },
  };
}

async function enrol(req: IncomingMessage, options: EnrolmentOptions): Promise<Answer | Refusal> {
  const { tenant, environment, store, ports } = options;
  const asked = await readRequest(req);
  if ("status" in asked) return asked;
  const proven = checkProof(asked, options);
  if ("status" in proven) return proven;
  const { jwk, code } = asked;
  const unknown = refuse(400, "invalid_grant", "enrolment-code", "the code is not good; ask an operator for a new one");
  // Anybody can make a proof: nothing is written for who has no code.
  if (!(await store.run("isEnrolmentCode", { tenant, environment, digest: digestOf(code) }))) return unknown;
  const key = replayKey(options.issuer, proven.kid, proven.jti);
  if (!(await ports.replay.claim("dpop", key, proven.replayableUntil)))
    return refuse(400, "invalid_dpop_proof", "dpop-replayed", "send a fresh proof");
  const stored = { ...jwk, alg: algorithmOf(jwk) };
  const enrolled = await store.run("enrolClientKey", {
    tenant,
    environment,
    digest: digestOf(code),
    kid: proven.kid,
    jwk: stored,
  });
  if (enrolled.kind === "unknown") return unknown;
  if (enrolled.kind === "refused")
    return enrolled.why === "full"
      ? refuse(
          400,
          "invalid_request",
          "enrolment-keys-full",
          "the client has all the keys it may have; end one of them",
        )
      : refuse(400, "invalid_request", "enrolment-key-spent", "this key was here before; make a new pair");
  await options.enrolled();
  const { client, notAfter } = enrolled;
  return { status: 201, body: { client_id: client, kid: proven.kid, not_after: notAfter } };
}

interface Asked {
  readonly code: string;
  readonly jwk: PublicJwk;
  readonly proof: string;
}

async function readRequest(req: IncomingMessage): Promise<Asked | Refusal> {
  const malformed = refuse(400, "invalid_request", "request-malformed", "send a form with one `code` and one `jwk`");
  // A page in a browser holds no code, and what it holds is not ours to take from it.
  if (req.headers.origin !== undefined) return refuse(400, "invalid_request", "browser", "this is not for browsers");
  const form = await readForm(req);
  const { code, jwk: text } = form ?? {};
  if (typeof code !== "string" || typeof text !== "string" || Object.keys(form ?? {}).length !== 2) return malformed;
  const jwk = parsePublicJwk(parseJsonObject(Buffer.from(text)) ?? undefined);
  if (jwk === null)
    return refuse(400, "invalid_request", "enrolment-key", "`jwk` is not a public ES256 or EdDSA (Ed25519) key");
  const proofs = req.rawHeaders.filter((_, at) => at % 2 === 1 && req.rawHeaders[at - 1]?.toLowerCase() === "dpop");
  const [proof, ...others] = proofs;
  if (proof === undefined || others.length > 0)
    return refuse(400, "invalid_dpop_proof", "dpop-many", "send exactly one DPoP proof");
  // Another form is no code of ours, and nothing is looked up for it.
  if (!codeForm.test(code))
    return refuse(400, "invalid_grant", "enrolment-code", "the code is not good; ask an operator for a new one");
  return { code, jwk, proof };
}

/** The key that is to be taken in signed just now, for this place and for this code. */
function checkProof(
  { code, jwk, proof }: Asked,
  { issuer, crypto, ports }: EnrolmentOptions,
): { readonly kid: string; readonly jti: string; readonly replayableUntil: number } | Refusal {
  const ath = createHash("sha256").update(code).digest("base64url");
  const url = `${issuer}${enrolmentPath}`;
  const verified = verifyDpopProof(proof, { method: "POST", url, ath, now: ports.clock.now() }, crypto);
  const again = refuse(
    400,
    "use_dpop_nonce",
    "dpop-nonce",
    "repeat the request with the nonce in the DPoP-Nonce field",
  );
  if (verified.kind === "deny")
    return verified.code === "dpop-nonce"
      ? again
      : refuse(400, "invalid_dpop_proof", verified.code, "the DPoP proof is not acceptable");
  if (verified.jkt !== thumbprint(jwk, { sha256 }))
    return refuse(400, "invalid_dpop_proof", "enrolment-possession", "the proof is not signed with the key in `jwk`");
  if (!ports.nonces.accepts(verified.nonce)) return again;
  const { jkt, jti, issuedAtMs } = verified;
  return { kid: jkt, jti, replayableUntil: issuedAtMs + dpopAgeMsMax + dpopAheadMsMax };
}
