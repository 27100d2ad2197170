// Promises the fields of a request that say what becomes of it at this operation, so that a signature which leaves one of them open is none. Pure.
// Trusts the snapshot. Specified in docs/identity/message-signatures.md "What has to be signed".
import type { AttributeSource, OperationObject } from "@sallyport/protocol/snapshot/objects.ts";

const known = new WeakMap<OperationObject, readonly string[]>();

/** In lower case, each once. */
export function decidingFields(operation: OperationObject): readonly string[] {
  const found = known.get(operation);
  if (found !== undefined) return found;
  const fields = [...new Set([...readFields(operation), ...meantFields(operation)])];
  known.set(operation, fields);
  return fields;
}

/** From which a value is taken: of an attribute, of what is looked up for one, of a parameter, of a name that something goes by. In lower case. */
export function readFields({
  attributes,
  lookups = {},
  parameters,
  payload,
  serialize,
}: OperationObject): readonly string[] {
  const sources: readonly (AttributeSource | undefined)[] = [
    ...Object.values(attributes),
    ...Object.values(lookups).flatMap((rule) => Object.values(rule.with)),
    payload?.subject,
    serialize,
  ];
  return [
    ...sources.flatMap((source) => (source?.from === "header" ? [source.name.toLowerCase()] : [])),
    ...(parameters?.fields ?? []).flatMap((field) => (field.in === "header" ? [field.name.toLowerCase()] : [])),
  ];
}

/** With another value of these the very same content is another effect. */
function meantFields({ body, idempotency, precondition }: OperationObject): readonly string[] {
  return [
    ...(idempotency === undefined ? [] : ["idempotency-key"]),
    ...(precondition === undefined ? [] : ["if-match"]),
    // It says where the parts begin.
    ...(body?.content === "multipart" ? ["content-type"] : []),
  ];
}
