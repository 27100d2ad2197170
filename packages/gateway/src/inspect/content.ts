// Promises that a request brings the content its operation declares, in the size it allows, or none. Trusts the canonical framing.
// Specified in docs/gateway.md (inspect); RFC 9110 §8.3 for media types.
import type { OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

export interface ContentInputs {
  readonly declared: OperationObject["body"];
  readonly bodyBytesMax: number;
  /** What the framing says: bytes, or null for chunked. */
  readonly contentLength: number | null;
  readonly contentType: readonly string[] | undefined;
  readonly contentEncoding: readonly string[] | undefined;
}

/** May this content come in, judged by its fields alone? Pure. */
export function decideContent(inputs: ContentInputs): Deny | null {
  const { declared, contentLength } = inputs;
  const hasContent = contentLength !== 0;
  if (declared === undefined) {
    return hasContent ? deny("inspect", "content-type", { detail: "This operation takes no content" }) : null;
  }
  if (contentLength !== null && contentLength > inputs.bodyBytesMax) return tooLarge(inputs.bodyBytesMax);
  if (!hasContent && declared.content === "opaque") return null;
  if (!isMediaType(inputs.contentType, declared.contentType)) {
    return deny("inspect", "content-type", { detail: `This operation takes ${declared.contentType}` });
  }
  const isEncoded = (inputs.contentEncoding ?? []).some((value) => value.toLowerCase() !== "identity");
  if (declared.content === "json" && isEncoded)
    return deny("inspect", "content-type", { detail: "This operation takes content without Content-Encoding" });
  return null;
}

export function tooLarge(bytesMax: number): Deny {
  return deny("inspect", "body-too-large", {
    bound: `${bytesMax} bytes`,
    detail: `At most ${bytesMax} bytes are taken here`,
  });
}

/** Exactly one value, the declared type; of parameters only `charset=utf-8` where the declaration has none. */
function isMediaType(values: readonly string[] | undefined, declared: string): boolean {
  const [value] = values ?? [];
  if (value === undefined || values?.length !== 1) return false;
  if (value === declared) return true;
  const [type = "", ...parameters] = value.split(";").map((part) => part.trim().toLowerCase());
  const [wanted = "", ...wantedParameters] = declared.split(";").map((part) => part.trim().toLowerCase());
  if (type !== wanted) return false;
  // multipart needs its boundary; it streams through unread.
  if (type.startsWith("multipart/")) return true;
  return parameters.every(
    (parameter) =>
      parameter === "charset=utf-8" || parameter === 'charset="utf-8"' || wantedParameters.includes(parameter),
  );
}
