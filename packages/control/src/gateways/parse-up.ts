// Promises that nothing a gateway or a stranger sends to the channel listener is used before its shape was proven.
// Trusts nothing. Shapes: packages/protocol/src/channel/messages.ts; specified in docs/formats/join.md.

import { evidenceCharactersMax, logFindingCodes } from "@sallyport/kernel/witness/finding.ts";
import {
  type IntrospectionQuestion,
  nodeFaultCharactersMax,
  nodeFaultsMax,
  observedExamplesMax,
  observedGroupsMax,
  observedShadowsMax,
  type PayloadKeyRequest,
  payloadDaysMax,
  type UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import { type NextHopRequest, nextHopTokenBytesMax } from "@sallyport/protocol/channel/next-hop.ts";
import { decodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import { isOpaqueToken } from "@sallyport/protocol/token/opaque-token.ts";
import { z } from "zod";
import type { SentCheckpoint } from "../audit/judge-checkpoint.ts";
import type { JoinRequest, RenewRequest } from "./joining.ts";

/** Strict: one text per byte string, so that no two spellings of one key or secret exist. */
const base64url = (charactersMax: number) =>
  z
    .string()
    .max(charactersMax)
    .refine((text) => text !== "" && decodeBase64url(text) !== null, "not base64url");
const count = z.int().min(0);

const joinRequest = z.strictObject({
  v: z.literal(1),
  secret: base64url(43).length(43),
  spki: base64url(200),
  sealKey: base64url(43).length(43),
  proof: base64url(86).length(86),
});

const renewRequest = z.strictObject({ spki: base64url(200), proof: base64url(86).length(86) });

const publicJwk = z.partialRecord(z.enum(["kty", "crv", "x", "y", "alg", "use", "kid"]), z.string().max(128));

const pseudonym = z
  .string()
  .max(64)
  .regex(/^[0-9]{4}[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{22}$/)
  .nullable();
const event = z
  .string()
  .max(160)
  .regex(/^[a-z][a-z0-9-]*-[0-7][0-9A-HJKMNP-TV-Z]{25}$/);

const observedGroup = z.strictObject({
  mode: z.enum(["observe", "passthrough"]),
  operation: z
    .string()
    .max(255)
    .regex(/^[a-z][a-z0-9-]*:(?:\(undeclared\)|[a-z][a-z0-9_.-]*)$/),
  caller: pseudonym,
  addressClass: z.enum(["loopback", "private", "public-v4", "public-v6", "other"]),
  code: z
    .string()
    .max(64)
    .regex(/^[a-z][a-z-]*$/)
    .nullable(),
  stage: z
    .string()
    .max(16)
    .regex(/^[a-z]+$/)
    .nullable(),
  shape: pseudonym,
  count,
  firstMs: count,
  lastMs: count,
  examples: z.array(event).max(observedExamplesMax),
});

const observedShadow = z.strictObject({
  policy: z
    .string()
    .max(255)
    .regex(/^[A-Za-z0-9][A-Za-z0-9._:/@#-]*$/),
  would: z.enum(["allow", "deny", "error"]),
  operation: observedGroup.shape.operation,
  caller: pseudonym.unwrap(),
  count,
  firstMs: count,
  lastMs: count,
  examples: z.array(event).max(observedExamplesMax),
});

const sentCheckpoint = {
  origin: z
    .string()
    .max(300)
    .regex(/^[\x21-\x7e]+$/),
  note: z.string().max(4096),
  key: z.string().max(400),
};
const printable = z
  .string()
  .max(300)
  .regex(/^[\x21-\x7e]+$/);

const upMessage = z.discriminatedUnion("t", [
  z.strictObject({ t: z.literal("ack"), keySeq: count, revocationSeq: count, epoch: count, version: count }),
  z.strictObject({
    t: z.literal("refused-snapshot"),
    epoch: count,
    version: count,
    why: z
      .string()
      .max(200)
      .regex(/^[\x20-\x7e]*$/),
  }),
  z.strictObject({ t: z.literal("checkpoint"), ...sentCheckpoint }),
  z.strictObject({ t: z.literal("hop-key"), jwk: publicJwk, proof: base64url(86).length(86) }),
  z.strictObject({
    t: z.literal("look-for-keys"),
    issuer: z
      .string()
      .max(127)
      .regex(/^[a-z][a-z0-9-]*$/),
  }),
  z.strictObject({
    t: z.literal("state"),
    at: count,
    version: z.string().regex(/^[0-9A-Za-z.+-]{1,40}$/),
    stalenessMs: count.nullable(),
    logOrigin: z
      .string()
      .max(300)
      .regex(/^[\x21-\x7e]+$/),
    logLeaves: count,
    inFlight: count,
    waitingMs: count,
    faults: z
      .array(
        z
          .string()
          .max(nodeFaultCharactersMax)
          .regex(/^[\x20-\x7e]+$/),
      )
      .max(nodeFaultsMax)
      .exactOptional(),
  }),
  z.strictObject({
    t: z.literal("answer"),
    id: z.string().max(20),
    found: z.boolean(),
    leaves: z.array(z.string().max(65_535)).max(64),
    reference: z.string().max(700_000).nullable(),
  }),
  z.strictObject({
    t: z.literal("witnessed"),
    id: z.string().max(20),
    key: z.string().max(600),
    status: z.int().min(100).max(599),
    body: z.string().max(8_192),
    kept: z.string().max(evidenceCharactersMax).nullable(),
  }),
  z.strictObject({
    t: z.literal("log-finding"),
    code: z.enum(logFindingCodes),
    origin: printable,
    witness: printable,
    kept: z.string().max(evidenceCharactersMax),
    shown: z.string().max(evidenceCharactersMax),
  }),
  z.strictObject({
    t: z.literal("observed"),
    id: z.string().max(20),
    sinceMs: count,
    uncounted: count,
    groups: z.array(observedGroup).max(observedGroupsMax),
    shadows: z.array(observedShadow).max(observedShadowsMax).optional(),
    uncountedShadows: count.optional(),
  }),
]);

function parseWith<T>(schema: z.ZodType<T>, text: string): T | null {
  try {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** The join request of docs/formats/join.md, or null. */
export function parseJoinRequest(text: string): JoinRequest | null {
  return parseWith(joinRequest, text);
}

/** The renewal request, or null. */
export function parseRenewRequest(text: string): RenewRequest | null {
  return parseWith(renewRequest, text);
}

const payloadKeyRequest = z.strictObject({
  subject: z
    .string()
    .max(64)
    .regex(/^[0-9]{4}[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{21}[AQgw]$/),
  days: z.int().min(1).max(payloadDaysMax),
});

const introspectionQuestion = z.strictObject({
  issuer: z
    .string()
    .max(127)
    .regex(/^[a-z][a-z0-9-]*$/),
  provider: z
    .string()
    .max(127)
    .regex(/^[a-z][a-z0-9-]*$/),
  token: z.string().refine(isOpaqueToken, "not a token to ask about"),
  known: z.boolean(),
});

/** What a node asks about a token, or null. */
export function parseIntrospectionQuestion(text: string): IntrospectionQuestion | null {
  return parseWith(introspectionQuestion, text);
}

/** What a node asks a payload key for, or null. */
export function parsePayloadKeyRequest(text: string): PayloadKeyRequest | null {
  return parseWith(payloadKeyRequest, text);
}

const nextHopName = (form: RegExp) => z.string().max(128).regex(form);
const nextHopRequest = z.strictObject({
  provider: nextHopName(/^[a-z][a-z0-9-]*$/),
  operation: nextHopName(/^[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)*$/),
  integration: nextHopName(/^[a-z][a-z0-9-]*$/),
  token: z
    .string()
    .max(nextHopTokenBytesMax)
    .regex(/^[A-Za-z0-9._~+/-]+=*$/)
    .nullable(),
});

/** What a node asks a provider's token for, or null. */
export function parseNextHopRequest(text: string): NextHopRequest | null {
  return parseWith(nextHopRequest, text);
}

/** What a node presents to the archive, or null. */
export function parseSentCheckpoint(text: string): SentCheckpoint | null {
  return parseWith(z.strictObject(sentCheckpoint), text);
}

/** One message up the channel, or null. */
export function parseUpMessage(text: string): UpMessage | null {
  // A partial record of optional members is a record of strings once absent members are dropped; JSON has no undefined.
  return parseWith(upMessage, text) as UpMessage | null;
}
