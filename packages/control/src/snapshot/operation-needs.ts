// Promises the words of `needs` that operations and the places of systems bring: what an older gateway would not do, or would do otherwise. Pure. Trusts the estate.
// Specified in docs/formats/snapshot.md "Needs".
import type { SystemConfig } from "../registry/config/estate.ts";
import type { OperationConfig } from "../registry/config/operation-config.ts";

/** Whether any operation needs it, by word. */
export function needsOfOperations(operations: readonly OperationConfig[]) {
  const any = (needs: (operation: OperationConfig) => boolean): boolean => operations.some(needs);
  return {
    payloads: any(({ payload }) => payload !== undefined),
    // An older gateway would let them pass unread.
    "content-types": any(({ body }) => body !== undefined && isReadOtherwise(body)),
    parameters: any(({ parameters }) => parameters !== undefined),
    // An older gateway would refuse what shall pass.
    "reported-answers": any(({ response }) => response?.long !== undefined || response?.mismatch !== undefined),
    // An older gateway would let pass what is to be refused.
    threats: any(({ threats }) => threats !== undefined),
    lookups: any(({ lookups }) => lookups !== undefined),
    opa: any(({ opa }) => opa !== undefined),
    // An older gateway would serve it as a plain read.
    websocket: any(({ webSocket }) => webSocket !== undefined),
    "response-attributes": any(({ attributes }) => Object.values(attributes).some(({ from }) => from === "response")),
    "outcome-signs": any(({ businessErrorsIn }) => businessErrorsIn !== undefined),
    stale: any(({ staleMs }) => staleMs !== undefined),
    hedge: any(({ hedge }) => hedge !== undefined),
    idempotency: any(bearsRepeats),
    // An older gateway would hold calls and lose how they ended.
    grpc: any(({ grpc }) => grpc !== undefined),
  };
}

/** Whether any system needs it for where it is served, by word. */
export function needsOfPlaces(systems: readonly Pick<SystemConfig, "upstream" | "operations">[]) {
  return {
    resilience: systems.some(
      ({ upstream, operations }) =>
        upstream?.endpoints !== undefined ||
        upstream?.resilience !== undefined ||
        operations.some(({ fallback }) => fallback !== undefined),
    ),
    // An older gateway would call the first of them alone.
    "grpc-endpoints": systems.some(
      ({ upstream, operations }) =>
        operations.some(({ grpc }) => grpc !== undefined) && upstream?.endpoints !== undefined,
    ),
  };
}

const isReadOtherwise = ({ content, encoding }: NonNullable<OperationConfig["body"]>): boolean =>
  (content !== "json" && content !== "opaque") || encoding !== undefined;

const bearsRepeats = ({ idempotency, precondition, serialize }: OperationConfig): boolean =>
  idempotency !== undefined || precondition !== undefined || serialize !== undefined;
