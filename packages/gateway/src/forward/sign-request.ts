// Promises a provider that asks for it a signature (RFC 9421) over the request as it is sent: target, who called, and the content where all of it is held, by
// the key its hop tokens are signed with. Trusts its caller to send exactly this. Specified in docs/identity/signed-requests.md.
import { hash } from "node:crypto";
import type { UpstreamRequest } from "@sallyport/kernel/dial/upstream-port.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import { printKeyField } from "@sallyport/protocol/idempotency-key.ts";
import { printContentDigest } from "@sallyport/protocol/signature/content-digest.ts";
import { signMessage } from "@sallyport/protocol/signature/sign-message.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";

/** Null: nothing is signed here. Of a crossing that we did not authorise nothing is said. */
export function signerFor({ operation, hopToken }: Exchange, gate: Pick<Gate, "hopSigner">): TokenSigner | Deny | null {
  if (operation?.system.object.upstream?.signed !== true || hopToken === null) return null;
  return gate.hopSigner() ?? deny("exchange", "exchange-unavailable", { why: "the hop key's certificate has ended" });
}

interface Signing {
  readonly request: CanonicalRequest;
  readonly content: UpstreamRequest["content"];
  readonly origin: string;
  readonly path: string;
  readonly signer: TokenSigner;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Fields to send beside the others: names and values, alternating. */
export function signedFor(
  { hopToken, id, operation, claim }: Exchange,
  { request, content, origin, path, signer, now }: Signing,
): readonly string[] {
  const told = claim?.providerKey ?? null;
  if (hopToken === null) return [];
  return signedFields(
    {
      method: request.method,
      origin,
      path,
      crossing: id,
      hopToken,
      contentType: request.headers["content-type"]?.[0],
      // Where the operation has keys, only one of ours is sent (ending-fields.ts).
      idempotencyKey:
        operation?.object.idempotency === undefined
          ? request.headers["idempotency-key"]?.[0]
          : told === null
            ? undefined
            : printKeyField(told),
      content:
        content === null || content instanceof Uint8Array
          ? content
          : { digest: request.headers["content-digest"]?.join(", ") },
      now,
    },
    signer,
  );
}

/** How long a provider may take it for fresh, as hop tokens are. */
const lifetimeS = 60;
const signedTag = "sallyport-hop";

interface SentRequest {
  readonly method: string;
  /** Of the endpoint, without a slash at its end. */
  readonly origin: string;
  /** Origin-form, with the query. */
  readonly path: string;
  readonly crossing: string;
  readonly hopToken: string;
  readonly contentType: string | undefined;
  /** As it is sent: with another one the same request is another effect. */
  readonly idempotencyKey: string | undefined;
  /** Null: there is none. `streamed`: it is not known yet; `digest` is what its caller said of it, where one did. */
  readonly content: Uint8Array | { readonly digest: string | undefined } | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Names and values, alternating. */
function signedFields(sent: SentRequest, signer: TokenSigner): string[] {
  const { content, contentType, idempotencyKey } = sent;
  const made =
    content instanceof Uint8Array
      ? printContentDigest({ algorithm: "sha-256", digest: hash("sha256", content, "buffer") })
      : undefined;
  const digest = content === null || content instanceof Uint8Array ? made : content.digest;
  const url = new URL(sent.origin);
  const [path = "", ...rest] = sent.path.split("?");
  const query = rest.join("?");
  const headers: Record<string, readonly string[]> = {
    "sallyport-identity": [sent.hopToken],
    "sallyport-crossing": [sent.crossing],
    ...(contentType === undefined ? {} : { "content-type": [contentType] }),
    ...(digest === undefined ? {} : { "content-digest": [digest] }),
    ...(idempotencyKey === undefined ? {} : { "idempotency-key": [idempotencyKey] }),
  };
  const created = Math.floor(sent.now / 1_000);
  const { input, signature } = signMessage(
    {
      message: {
        method: sent.method,
        scheme: url.protocol === "https:" ? "https" : "http",
        authority: url.host,
        path,
        query,
        queryParameters: {},
        headers,
      },
      components: ["@method", "@authority", "@path", "@query", ...Object.keys(headers)],
      label: "gateway",
      created,
      expires: created + lifetimeS,
      nonce: sent.crossing,
      tag: signedTag,
    },
    signer,
  );
  return [...(made === undefined ? [] : ["content-digest", made]), "signature-input", input, "signature", signature];
}
