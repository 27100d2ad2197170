// Promises that what a caller said to this gateway alone ends here: a key for repeats where the operation has them, the signature or API key that proved the caller.
// Trusts identify. Pure. Specified in docs/idempotency.md and docs/identity/message-signatures.md.
import type { CanonicalHeaders } from "@sallyport/protocol/canonical/request.ts";
import { apiKeyPrefix } from "@sallyport/protocol/token/api-key.ts";
import type { Exchange } from "../exchange.ts";

/** The very fields where nothing of them ends here. */
export function withoutEnding(exchange: Exchange, headers: CanonicalHeaders): CanonicalHeaders {
  const { operation, principal, body } = exchange;
  let left = withoutApiKeys(exchange, headers);
  // Keys of all callers meet at the provider: it is told one that belongs to this principal and this operation alone.
  if (operation?.object.idempotency !== undefined) {
    const { "idempotency-key": _key, ...rest } = left;
    left = rest;
  }
  // It was made for this hop, and whoever has it could send it again elsewhere.
  const isSigned = operation?.system.object.upstream?.signed === true;
  if (isSigned && body !== null) {
    // Ours is of the very bytes.
    const { "content-digest": _digest, ...rest } = left;
    left = rest;
  }
  return isSigned || principal?.proof.kind === "signature" ? withoutSignature(left) : left;
}

/** The same where nobody here is believed for the crossing: what proved a caller, or is a key of ours, ends here all the same. */
export function withoutProofs(exchange: Exchange, headers: CanonicalHeaders): CanonicalHeaders {
  const left = withoutApiKeys(exchange, headers);
  return exchange.principal?.proof.kind === "signature" ? withoutSignature(left) : left;
}

function withoutSignature({
  signature: _octets,
  "signature-input": _input,
  ...left
}: CanonicalHeaders): CanonicalHeaders {
  return left;
}

/** Whoever else is believed for this crossing, and where nobody is: a key of ours is nothing that a provider should ever hold. */
function withoutApiKeys({ lease }: Exchange, headers: CanonicalHeaders): CanonicalHeaders {
  const apiKeys = lease?.estate.apiKeys ?? null;
  if (apiKeys === null) return headers;
  const ours = apiKeys.headers.filter((name) => headers[name]?.some((value) => value.includes(apiKeyPrefix)));
  return ours.length === 0
    ? headers
    : Object.fromEntries(Object.entries(headers).filter(([name]) => !ours.includes(name)));
}
