// Promises a refusal in a form a program can act on: its code, whether the very same request may succeed later, and the id to quote.
// Trusts an answer only for what it says about itself. Specified by RFC 9457 and docs/sdk.md, "Refusals".
import { isJsonObject } from "@sallyport/protocol/token/json.ts";

/** Problem documents are small; a larger body is not one. */
const problemBytesMax = 64 * 1024;

export interface Denial {
  readonly status: number;
  /** Stable; each has a page. `null` where the answer is no problem document of a gateway. */
  readonly code: string | null;
  readonly title: string | null;
  /** What to change, where the gateway knows the caller. */
  readonly detail: string | null;
  /** May the very same request succeed later? */
  readonly retryable: boolean;
  /** Quote it: an operator reads the whole reason with `sallyport why <id>`. */
  readonly correlationId: string | null;
  /** `gateway` where Sallyport said no; `null` where the provider did. */
  readonly by: "gateway" | null;
}

/** The error `throwIfDenied` throws. */
export class DeniedError extends Error {
  override readonly name = "DeniedError";
  readonly denial: Denial;

  constructor(denial: Denial) {
    const id = denial.correlationId === null ? "" : ` (${denial.correlationId})`;
    super(`${denial.status} ${denial.code ?? "without a code"}: ${denial.detail ?? denial.title ?? "refused"}${id}`);
    this.denial = denial;
  }
}

/** The id of a crossing, of an allowed one as of a denied one; `null` where the answer did not come through a gateway. */
export function correlationIdOf(response: Response): string | null {
  return response.headers.get("sallyport-crossing");
}

/** `allow` where the crossing was allowed and then ended at the gateway, because its provider failed. */
const byGateway = /^(?:deny|allow); by=gateway; code=/;

/** Did Sallyport refuse, rather than the provider behind it? A provider cannot set this header. */
export function isDeniedByGateway(response: Response): boolean {
  return byGateway.test(response.headers.get("sallyport-verdict") ?? "");
}

/** What the gateway wants of the user's log-in (RFC 9470 §3): parameters of an authorization request. */
export interface StepUpWanted {
  /** `acr_values`; null: any log-in will do. */
  readonly acrValues: string | null;
  /** `max_age` in seconds; null: it may be of any age. */
  readonly maxAgeSeconds: number | null;
}

/** The log-in that the gateway asks for when it refuses one as too weak or too old; `null` for any other answer, and for a provider's own. */
export function stepUpOf(response: Response): StepUpWanted | null {
  const challenge = response.headers.get("www-authenticate") ?? "";
  if (response.status !== 401 || !isDeniedByGateway(response)) return null;
  if (!challenge.includes('error="insufficient_user_authentication"')) return null;
  const maxAge = /[ ,]max_age="(\d{1,9})"/.exec(challenge)?.[1];
  return {
    acrValues: /[ ,]acr_values="([^"\\]*)"/.exec(challenge)?.[1] ?? null,
    maxAgeSeconds: maxAge === undefined ? null : Number(maxAge),
  };
}

/** What an answer of 400 or above says; `null` below. Reads a copy of a problem document: the response stays readable. */
export async function denialOf(response: Response): Promise<Denial | null> {
  if (response.status < 400) return null;
  const document = await problemOf(response);
  const text = (name: string): string | null => (typeof document[name] === "string" ? document[name] : null);
  return {
    status: response.status,
    code: text("code"),
    title: text("title"),
    detail: text("detail"),
    retryable: document["retryable"] === true,
    correlationId: text("correlationId") ?? correlationIdOf(response),
    by: isDeniedByGateway(response) ? "gateway" : null,
  };
}

/** Returns the response when it is below 400; throws DeniedError otherwise. */
export async function throwIfDenied(response: Response): Promise<Response> {
  const denial = await denialOf(response);
  if (denial === null) return response;
  throw new DeniedError(denial);
}

async function problemOf(response: Response): Promise<Readonly<Record<string, unknown>>> {
  const type = response.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  const length = Number(response.headers.get("content-length") ?? Number.POSITIVE_INFINITY);
  if (type !== "application/problem+json" || response.bodyUsed || !(length <= problemBytesMax)) return {};
  try {
    const document: unknown = await response.clone().json();
    return isJsonObject(document) ? document : {};
  } catch {
    // Cut off, or no JSON: the status alone has to do.
    return {};
  }
}
