// Promises that what is said to be gRPC can be called as gRPC, and that nothing beside it waits for content that nobody reads.
// Trusts the types (system-schema.ts). Specified in docs/grpc.md.
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import { errorAt, type Finding } from "./finding.ts";
import { grpcErrors } from "./grpc-errors.ts";
import type { OperationConfig } from "./operation-config.ts";
import type { OperationSource, SystemSource } from "./system-schema.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** Of one message; what gRPC itself takes by default. */
const messageBytesMax = 4 * 1024 * 1024;

/** What calls carry. */
export const callsBody: CallsBody = {
  body: { content: "opaque", contentType: "application/grpc" },
  bytesMax: messageBytesMax,
  classes: [],
};

interface CallsBody {
  readonly body: OperationConfig["body"];
  readonly bytesMax: number;
  readonly classes: readonly DataClass[];
  readonly labelled?: unknown;
}

const callPath = /^\/[A-Za-z_][A-Za-z0-9_.]*\/[A-Za-z_][A-Za-z0-9_]*$/;

/** Undefined: it is no gRPC. */
export function readGrpc(
  { tree, findings }: { readonly tree: MapTree; readonly findings: Finding[] },
  at: readonly string[],
  source: OperationSource,
): OperationConfig["grpc"] {
  const said = source.outcome?.grpc ?? [];
  const refuse = (key: string, message: string, fix: string): void => {
    findings.push(errorAt(spotOf(tree, [...at, key], "key"), message, fix));
  };
  if (source.protocol !== "grpc") {
    if (said.length > 0) refuse("outcome", "`grpc` statuses of an operation that is no gRPC", "add `protocol: grpc`");
    return undefined;
  }
  const { method, path } = source.match;
  if (method !== "POST" || !callPath.test(path))
    refuse("match", "a gRPC call is not matched like this", "write `match: POST /<package>.<Service>/<Method>`");
  for (const key of [
    "body",
    "payload",
    "response",
    "websocket",
    "idempotency",
    "precondition",
    "serialize",
    "fallback",
    "hedge",
  ] as const)
    if (source[key] !== undefined) refuse(key, `messages of gRPC are passed on unread`, `remove \`${key}\``);
  if ([...(source.outcome?.["business-error"] ?? []), ...(source.outcome?.["business-error-in"] ?? [])].length > 0)
    refuse("outcome", "a gRPC call ends with a status of gRPC", "write the statuses under `outcome: { grpc: [...] }`");
  const numbers = said.map((name) => grpcErrors.indexOf(name) + 1);
  return { businessErrors: [...new Set(numbers)].sort((a, b) => a - b) };
}

/** What is done when requests fail is not done for calls yet: each is tried once, where the system is served. */
export function refuseGrpcResilience(
  { tree, findings }: { readonly tree: MapTree; readonly findings: Finding[] },
  operations: readonly OperationConfig[],
  { health }: Pick<SystemSource, "health">,
): void {
  if (!operations.some(({ grpc }) => grpc !== undefined)) {
    if (health?.grpc === undefined) return;
    const message = "a check over gRPC of a system without gRPC operations";
    findings.push(errorAt(spotOf(tree, ["health", "grpc"], "key"), message, "write `path` in its place"));
    return;
  }
  for (const key of ["timeouts", "retries", "hedge", "breaker", "inFlight"])
    if (tree.entries.has(key))
      findings.push(
        errorAt(
          spotOf(tree, [key], "key"),
          `\`${key}\` of a system with gRPC operations is not in this version`,
          `remove \`${key}\``,
        ),
      );
}
