// Promises that a request brings the content its operation declares, in the size it allows, or none. Trusts the canonical framing.
// Specified in docs/gateway.md (inspect); RFC 9110 §8.3 for media types.
import type { OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { isGrpcType } from "../grpc/status.ts";
import { boundaryOf } from "./multipart.ts";

const grpcType = "application/grpc";

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
  if (declared.content === "multipart" && boundaryOf(inputs.contentType?.[0] ?? "") === null)
    return deny("inspect", "content-type", {
      detail: "This operation takes multipart/form-data with one plain boundary",
    });
  if (inputs.contentEncoding === undefined) return null;
  const { isPlain, isGzip } = encodingOf(inputs.contentEncoding);
  if (isPlain || (isGzip && declared.encoding === "gzip")) return null;
  const taken =
    declared.encoding === undefined ? "without Content-Encoding" : "as it is, or with Content-Encoding: gzip";
  return deny("inspect", "content-type", { detail: `This operation takes content ${taken}` });
}

/** Of the fields `Content-Encoding` of a request: nothing beside one word is read. */
export function encodingOf(values: readonly string[] | undefined): {
  readonly isPlain: boolean;
  readonly isGzip: boolean;
} {
  const said = (values ?? []).map((value) => value.trim().toLowerCase());
  return { isPlain: said.every((value) => value === "identity"), isGzip: said.length === 1 && said[0] === "gzip" };
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
  // Calls say behind a plus what their messages are written in.
  if (wanted === grpcType && isGrpcType(type)) return parameters.length === 0;
  if (type !== wanted) return false;
  // multipart needs its boundary, which is judged where it is read.
  if (type.startsWith("multipart/")) return true;
  return parameters.every(
    (parameter) =>
      parameter === "charset=utf-8" || parameter === 'charset="utf-8"' || wantedParameters.includes(parameter),
  );
}
