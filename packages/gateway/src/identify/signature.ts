// Promises which system signed a request (RFC 9421): by a key of the snapshot alone, over all of the request that decides anything, recently and once. Trusts
// protocol/signature for the judgement of one signature, and this node's nonces and replay set. Specified in docs/identity/message-signatures.md.
import { hash } from "node:crypto";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import {
  type MessageSignature,
  readSignatures,
  signatureAheadMsMax,
  type VerifiedSignature,
  verifySignature,
} from "@sallyport/protocol/signature/message-signature.ts";
import type { SignedMessage } from "@sallyport/protocol/signature/signature-base.ts";
import { compared, type Deny, deny, instant } from "@sallyport/protocol/verdict.ts";
import type { BoundListener, Exchange } from "../exchange.ts";
import { fitsDigests } from "../inspect/content-digest.ts";
import type { SignatureOwner, SignatureOwners } from "../snapshot/signature-owners.ts";
import { decidingFields } from "./deciding-fields.ts";
import type { Case, Proven } from "./identify.ts";
import type { Nonces } from "./nonce.ts";
import type { ReplaySet } from "./replay-set.ts";

/** A step of the replay set: longer than a signature is good for, so that of the three tables two may be in use. */
export const signatureStepMs = 70_000;
/** How long a signature speaks for a stream that it opened. */
const streamMs = 300_000;

export interface SignaturePorts {
  readonly nonces: Nonces;
  /** Made when the first signature comes. */
  replays(): ReplaySet;
  /** When the replay set began: of what came before nothing is known. */
  readonly sinceMs: number;
}

/** Null: the request carries no signature by a key that anybody here knows. */
export function proveBySignature(on: Case, owners: SignatureOwners): Proven | Deny | null {
  const { exchange, ports } = on;
  const { request } = exchange;
  if (request === null) return deny("identify", "not-ready");
  const reading = readSignatures(request.headers);
  if (reading.kind === "malformed") return deny("identify", "signature-malformed", { why: reading.why });
  const known = reading.signatures.flatMap((signature) => {
    const owner = owners.get(signature.keyid);
    return owner === undefined ? [] : [{ signature, owner }];
  });
  const [first] = known;
  if (first === undefined) {
    const sent = reading.signatures.map(({ keyid }) => keyid).join(", ");
    // With a certificate it may be a signature for somebody else.
    return on.peer !== null ? null : keyUnknown(sent);
  }
  const other = known.find(({ owner }) => owner.system !== first.owner.system);
  if (other !== undefined)
    return deny("identify", "identity-conflict", {
      why: `signatures of ${first.owner.system.id} and of ${other.owner.system.id}`,
    });
  const verified: Verified[] = [];
  for (const one of known) {
    const judged = verifyOne(exchange, request, one, ports.now());
    if (judged.kind === "deny") return deny(judged.stage, judged.code, { ...judged.facts, keyid: one.signature.keyid });
    verified.push({ ...one, judged });
  }
  return conclude(on, request, verified);
}

interface Known {
  readonly signature: MessageSignature;
  readonly owner: SignatureOwner;
}

interface Verified extends Known {
  readonly judged: VerifiedSignature;
}

function keyUnknown(sent: string): Deny {
  const expected = "keyid of a key under `identity.signatures` of a system of this environment";
  return deny("identify", "signature-key-unknown", {
    why: "no system has a key of this name",
    ...compared(expected, sent === "" ? "no signature with `keyid` and `created`" : sent),
  });
}

const hasContent = ({ chunked, contentLength }: CanonicalRequest): boolean => chunked || (contentLength ?? 0) > 0;

function verifyOne(exchange: Exchange, request: CanonicalRequest, { signature, owner }: Known, now: number) {
  return verifySignature(signature, {
    message: messageOf(exchange, request),
    key: owner.key,
    hasContent: hasContent(request),
    covers: coversOf(exchange, owner),
    now,
  });
}

/** Besides what the system declares: the fields that decide at the operation. */
function coversOf({ operation }: Exchange, { rule }: SignatureOwner): readonly string[] {
  return operation === null ? rule.covers : [...rule.covers, ...decidingFields(operation.object)];
}

type Place = Pick<SignedMessage, "scheme" | "authority">;
const places = new WeakMap<BoundListener, Place>();

/** What callers use for a listener, in its normal form; read once. */
function placeOf(listener: BoundListener): Place {
  const known = places.get(listener);
  if (known !== undefined) return known;
  const { protocol, host } = new URL(listener.url);
  const place: Place = { scheme: protocol === "https:" ? "https" : "http", authority: host };
  places.set(listener, place);
  return place;
}

/** As the caller's authority: what callers use for this listener, or the routed system's own host where the request came for that. Nothing else it says counts. */
function messageOf({ listener, system }: Exchange, request: CanonicalRequest): SignedMessage {
  const { scheme, authority } = placeOf(listener);
  const isOwnHost = system?.object.public.host?.toLowerCase() === request.host;
  const port = request.port === (scheme === "https" ? 443 : 80) ? "" : `:${request.port}`;
  const { method, path, query, queryParameters, headers } = request;
  return {
    method,
    scheme,
    authority: isOwnHost ? request.host + port : authority,
    path,
    query,
    queryParameters,
    headers,
  };
}

function conclude(on: Case, request: CanonicalRequest, verified: readonly Verified[]): Proven | Deny {
  const { exchange, peer, ports } = on;
  const [first] = verified;
  if (first === undefined) return deny("identify", "not-ready");
  const { owner, signature } = first;
  if (peer?.kind === "deny") return peer.verdict;
  if (peer !== null && peer.system !== owner.system)
    return deny("identify", "identity-conflict", {
      why: `signature of ${owner.system.id}, certificate of ${peer.system.id}`,
    });
  const digests = verified.flatMap(({ judged }) => judged.digests);
  const unseen = judgeContent(exchange, request, digests);
  if (unseen !== null) return unseen;
  // Last: nothing that fails for another reason may burn a signature.
  for (const one of verified) {
    const used = useOnce(one, ports.signatures, { exchange, now: ports.now() });
    if (used !== null) return used;
  }
  // A proxy that asks and can be told takes them out, as the gateway would.
  if (exchange.toRemove !== null) exchange.toRemove = [...exchange.toRemove, "signature", "signature-input"];
  exchange.digests = digests.length === 0 ? null : digests;
  const createdMs = signature.created * 1_000;
  const principal: Principal = {
    tenant: ports.tenant,
    environment: ports.environment,
    caller: owner.system.id,
    proof: { kind: "signature", keyid: signature.keyid, ...(peer === null ? {} : { x5t: peer.x5t }) },
    scopes: null,
    expiresAtMs: Math.min(createdMs + streamMs, (signature.expires ?? Number.POSITIVE_INFINITY) * 1_000),
  };
  // When it was signed is the caller's word: a cut-off of before holds.
  return { principal, system: owner.system, issuedAtMs: null };
}

/** What nobody will hold against its digest does not pass for signed. */
function judgeContent(
  exchange: Exchange,
  request: CanonicalRequest,
  digests: VerifiedSignature["digests"],
): Deny | null {
  const isSeen = exchange.asked === null || exchange.asked === "services";
  // Of a request that a proxy asks about not even whether it has content is known for certain.
  if (!isSeen && (hasContent(request) || exchange.operation?.object.body !== undefined))
    return deny("identify", "signature-components", {
      why: "a proxy asks, and the content that was signed is not seen here",
    });
  if (hasContent(request)) return null;
  return fitsDigests(new Uint8Array(0), digests)
    ? null
    : deny("identify", "signature-components", { why: "Content-Digest is that of some content, and there is none" });
}

function useOnce(
  { signature, owner, judged }: Verified,
  ports: SignaturePorts,
  { exchange, now }: { readonly exchange: Exchange; readonly now: number },
): Deny | null {
  const createdMs = signature.created * 1_000;
  const step = signature.nonce === undefined ? null : ports.nonces.stepOf(signature.nonce, now);
  if (step === null) {
    if (owner.rule.nonce === "gateway")
      return deny("identify", "signature-nonce", { why: "the nonce is not one of this node's current ones" });
    // Signed before there was a memory: it may have been used, and nobody here would know.
    if (createdMs <= ports.sinceMs + signatureAheadMsMax)
      return deny("identify", "signature-nonce", {
        why: "this gateway has just begun and cannot know whether it has seen the signature",
        ...compared(
          `created after ${instant(ports.sinceMs + signatureAheadMsMax)}, or a nonce of this gateway`,
          `created ${instant(createdMs)}`,
        ),
      });
  } else if (step !== ports.nonces.step(now)) exchange.nonce = ports.nonces.current(now);
  // By what was signed and not by the octets of the signature, of which there can be others.
  const id = hash("sha256", judged.base, "base64url");
  const burn = ports.replays().burn(Math.floor(createdMs / signatureStepMs), signature.keyid, id);
  if (burn === "replayed") return deny("identify", "signature-replayed", { why: "what was signed was sent before" });
  return burn === "full" ? deny("identify", "replay-table-full", { bound: "signatures per step" }) : null;
}

/** Of a stream that goes on: is it still the signature's time, and the key still one of the very system? */
export function signedStill(principal: Principal, owners: SignatureOwners | null, nowMs: number): Proven | Deny {
  if (nowMs >= principal.expiresAtMs)
    return deny("identify", "signature-expired", {
      why: "a signature does not speak for a stream any longer",
      ...compared(`a stream that ends by ${instant(principal.expiresAtMs)}`, `one that goes on at ${instant(nowMs)}`),
    });
  const owner = owners?.get(principal.proof.keyid ?? "");
  if (owner === undefined)
    return deny("identify", "signature-key-unknown", { why: "the key is not one of this environment any more" });
  return { principal, system: owner.system, issuedAtMs: null };
}
