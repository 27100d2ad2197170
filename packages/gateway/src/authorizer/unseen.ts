// Promises that nothing is allowed on an operation whose rules an authoriser cannot keep: it sees neither content nor answers.
// Trusts the snapshot. Pure. Specified in docs/authorizer.md (what is refused).
import type { GrantedOperation, IntegrationObject, OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** What of an operation has to be seen; null: nothing. */
type Needs<T> = (operation: T) => string | null;
const nothing = (): null => null;

/** A member that is not decided on here does not compile: it would be a rule that somebody wrote and nobody keeps. */
const needsOf: { readonly [K in keyof Required<OperationObject>]: Needs<OperationObject> } = {
  name: nothing,
  declaredAt: nothing,
  method: nothing,
  path: nothing,
  effect: nothing,
  classification: nothing,
  authorize: nothing,
  attributes: ({ attributes }) => {
    const unseen = Object.values(attributes).find(({ from }) => from === "body" || from === "response");
    return unseen === undefined ? null : `an attribute comes from the ${unseen.from === "body" ? "body" : "answer"}`;
  },
  lookups: nothing,
  // The head of the request is told, so they are checked here too (pipeline.ts).
  parameters: nothing,
  // Parameters are held against them here too; of a body it takes more than seeing none.
  threats: ({ threats, body }) =>
    threats === undefined || threats.block.length === 0 || body === undefined
      ? null
      : "its body is held against rules about threats",
  body: ({ body, unseenBody }) => {
    if (body === undefined) return null;
    if (body.schema !== undefined) return "its body is checked against a schema";
    return unseenBody === true ? null : "it takes a body";
  },
  unseenBody: nothing,
  // Of a body that may pass unseen, and of an answer's time: the proxy's own bounds hold.
  bodyBytesMax: nothing,
  timeoutMs: nothing,
  businessErrors: ({ businessErrors }) => (businessErrors.length > 0 ? "its answers are mapped to outcomes" : null),
  businessErrorsIn: ({ businessErrorsIn }) =>
    businessErrorsIn === undefined ? null : "what its answers say is mapped to outcomes",
  grpc: ({ grpc }) => (grpc === undefined ? null : "it is a call of gRPC"),
  offline: nothing,
  payload: ({ payload }) => (payload === undefined ? null : "its content is kept"),
  response: ({ response }) => (response === undefined ? null : "its answers are looked into"),
  fallback: ({ fallback }) => (fallback === undefined ? null : "it has an answer for when its provider fails"),
  staleMs: ({ staleMs }) => (staleMs === undefined ? null : "it has answers of before for when its provider fails"),
  hedge: nothing, // How it is forwarded, which a proxy does by itself.
  record: nothing,
  webSocket: ({ webSocket }) => (webSocket === undefined ? null : "its frames are checked"),
  idempotency: ({ idempotency }) => (idempotency === undefined ? null : "repeats get the answer of the first time"),
  precondition: ({ precondition }) => (precondition === undefined ? null : "the version has to be named"),
  serialize: ({ serialize }) => (serialize === undefined ? null : "writers wait for each other"),
  stepUp: nothing,
  opa: nothing,
  policy: nothing,
};

/** As above, of what an integration says beside it. */
const grantNeedsOf: { readonly [K in keyof Required<GrantedOperation>]: Needs<GrantedOperation> } = {
  name: nothing,
  bodyBytesMax: nothing,
  timeoutMs: nothing,
  stepUp: nothing,
  priority: () => null,
  redact: ({ redact }) => (redact === undefined ? null : "fields are taken out of its answers"),
};

/** As above, of the integration itself. */
const integrationNeedsOf: {
  readonly [K in keyof Required<IntegrationObject>]: (
    integration: IntegrationObject,
    operation: string,
  ) => string | null;
} = {
  id: nothing,
  from: nothing,
  to: nothing,
  owner: nothing,
  purpose: nothing,
  state: nothing,
  proof: nothing,
  limits: nothing,
  quotas: () => null,
  concurrency: ({ concurrency = [] }, operation) =>
    concurrency.some(({ operations }) => operations === undefined || operations.includes(operation))
      ? "what is under way at once is counted"
      : null,
  operations: nothing,
  expiresAtMs: nothing,
  declaredAt: nothing,
  // What it takes out, it takes out of answers that are looked into.
  data: nothing,
  cors: ({ cors }) => (cors === undefined ? null : "which pages may read its answers is said in them"),
  mode: nothing,
  broken: nothing,
};

/** Is there a rule of this operation, or of this integration's grant of it, that nobody would keep here? */
export function decideUnseen(operation: OperationObject, integration: IntegrationObject): Deny | null {
  const granted = integration.operations.find(({ name }) => name === operation.name);
  const needs = [
    ...Object.values(needsOf).map((needs) => needs(operation)),
    ...(granted === undefined ? [] : Object.values(grantNeedsOf).map((needs) => needs(granted))),
    ...Object.values(integrationNeedsOf).map((needs) => needs(integration, operation.name)),
  ].filter((need) => need !== null);
  if (needs.length === 0) return null;
  return deny("bind", "not-in-authorizer-mode", {
    detail: `The proxy asks only about the head of the request, and of this operation ${needs.join(", and ")}; call it through the gateway`,
  });
}
