// Promises one gRPC status for every way a crossing can end, and text that its field may carry. Trusts problem.ts for what may be said to whom.
// Specified in the gRPC protocol over HTTP/2 (Responses) and docs/grpc.md.
import { type ProblemCode, problems } from "@sallyport/protocol/problem.ts";

export const grpcStatus = {
  ok: 0,
  unknown: 2,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

const byHttpStatus: Readonly<Record<number, number>> = {
  400: grpcStatus.internal,
  401: grpcStatus.unauthenticated,
  403: grpcStatus.permissionDenied,
  404: grpcStatus.unimplemented,
  408: grpcStatus.deadlineExceeded,
  413: grpcStatus.resourceExhausted,
  429: grpcStatus.resourceExhausted,
  431: grpcStatus.resourceExhausted,
  501: grpcStatus.unimplemented,
  502: grpcStatus.unavailable,
  503: grpcStatus.unavailable,
  504: grpcStatus.deadlineExceeded,
};

/** The status of a denial or fault. */
export function grpcStatusOf(code: ProblemCode): number {
  return byHttpStatus[problems[code].status] ?? grpcStatus.unknown;
}

/** `grpc-message`: visible ASCII but `%`, everything else escaped. */
export function grpcMessage(text: string): string {
  return [...Buffer.from(text, "utf8")]
    .map((octet) =>
      octet >= 0x20 && octet <= 0x7e && octet !== 0x25
        ? String.fromCharCode(octet)
        : `%${octet.toString(16).toUpperCase().padStart(2, "0")}`,
    )
    .join("");
}

/** Is this the media type of a gRPC call? `type`: in lower case, without parameters. */
export function isGrpcType(type: string | null): boolean {
  return type === "application/grpc" || type?.startsWith("application/grpc+") === true;
}

/** The status among fields (names and values alternating); null: none, or none that is one. */
export function grpcStatusIn(fields: readonly string[]): number | null {
  for (let i = 0; i + 1 < fields.length; i += 2)
    if (fields[i] === "grpc-status")
      return /^(?:0|[1-9]|1[0-6])$/.test(fields[i + 1] ?? "") ? Number(fields[i + 1]) : null;
  return null;
}
