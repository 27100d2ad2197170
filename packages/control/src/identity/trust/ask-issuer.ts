// Promises one question to an issuer outside about one token, and one reading of its answer: over the guarded dialer and a connection of its own, so that no
// answer can be another question's; no redirect, nothing beyond its size or time; proven by a key of ours. Nothing of the token is kept or said.
// Trusts the configuration for where to ask. Specified in docs/identity/outside-introspection.md (RFC 7662 §2, RFC 7523 §2.2).
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { IntrospectionReply } from "@sallyport/protocol/channel/messages.ts";
import { encodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import {
  introspectionAnswerBytesMax,
  parseIntrospectionAnswer,
} from "@sallyport/protocol/token/outside-introspection.ts";
import type { IssuerConfig } from "../../registry/config/estate.ts";
import { dialPlace, type OutsidePlace } from "../dial-once.ts";

/** From the first step to the last byte: it ends before a gateway stops waiting. */
export const askTimeoutMs = 3_000;
const assertionSeconds = 60;
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const types = /^application\/json(?:\s*;.*)?$/i;

/** A form posted to a place outside. Rejects when nothing whole came back in time. */
export type PostForm = (
  place: OutsidePlace,
  body: string,
) => Promise<{ readonly status: number; readonly type: string; readonly body: Uint8Array }>;

export const createPostForm =
  (dialer: Dialer): PostForm =>
  async (place, body) => {
    const answer = await dialPlace(dialer, place, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      body,
      answerBytesMax: introspectionAnswerBytesMax,
      timeoutMs: askTimeoutMs,
    });
    return { status: answer.status, type: String(answer.headers["content-type"] ?? ""), body: answer.body };
  };

export interface AskPorts {
  readonly post: PostForm;
  readonly clock: Clock;
  readonly random: Random;
}

/** Who is asked, where, and by which key of ours. */
export interface AskedIssuer {
  readonly config: Pick<IssuerConfig, "url"> & Required<Pick<IssuerConfig, "gateways" | "introspection">>;
  readonly place: OutsidePlace;
  readonly signer: TokenSigner;
}

/** Never rejects. */
export async function askIssuer(token: string, issuer: AskedIssuer, ports: AskPorts): Promise<IntrospectionReply> {
  const body = new URLSearchParams({
    token,
    token_type_hint: "access_token",
    client_id: issuer.config.introspection.client,
    client_assertion_type: assertionType,
    client_assertion: assertionFor(issuer, ports),
  });
  let answer: Awaited<ReturnType<PostForm>>;
  try {
    answer = await ports.post(issuer.place, body.toString());
  } catch (error) {
    return { trouble: isTooLarge(error) ? "malformed" : "unreachable" };
  }
  if (answer.status === 400 || answer.status === 401 || answer.status === 403) return { trouble: "client-refused" };
  if (answer.status >= 500 || answer.status === 429) return { trouble: "unreachable" };
  if (answer.status !== 200 || !types.test(answer.type)) return { trouble: "malformed" };
  return parseIntrospectionAnswer(answer.body, issuer.config.gateways) ?? { trouble: "malformed" };
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "answer-too-large";
}

/** For this issuer alone, once (RFC 7523 §3). Its audience is the issuer itself: an endpoint could be another's. */
function assertionFor({ config, signer }: AskedIssuer, { clock, random }: AskPorts): string {
  const { client } = config.introspection;
  const iat = Math.floor(clock.now() / 1_000);
  const jti = encodeBase64url(random.bytes(16));
  const claims = { iss: client, sub: client, aud: config.url, jti, iat, exp: iat + assertionSeconds };
  return signCompactJws({ alg: signer.alg, typ: "JWT", kid: signer.kid }, claims, signer);
}
