// Promises the one visible permit a grant compiles to. Trusts ids checked by configuration, and checks them again.
// Specified in docs/policy.md.

/** One integration that grants the operation, and the consumer it grants it to. */
export interface Grant {
  readonly integration: string;
  /** Id of the consuming system. */
  readonly from: string;
}

const plainId = /^[A-Za-z0-9][A-Za-z0-9:._-]*$/;

/** A Cedar string literal of an id. Throws on anything that would need escaping: ids never do. */
export function cedarString(id: string): string {
  if (!plainId.test(id))
    throw new Error(`${JSON.stringify(id)} is not an id: letters, digits, ":", ".", "_", "-" only`);
  return `"${id}"`;
}

/** Policy id of the permit that a grant compiles to; no policy of a user may take such an id. */
export function generatedPermitId(integration: string): string {
  return `grant:${integration}`;
}

/** Cedar text of the permit that `integration` compiles to for tokens from its consumer to its provider `to`. */
export function generatedTokenPermit(
  action: string,
  { integration, from, to }: Grant & { readonly to: string },
): string {
  return [
    `permit (`,
    `  principal in System::${cedarString(from)},`,
    `  action == Action::${cedarString(action)},`,
    `  resource in System::${cedarString(to)}`,
    `)`,
    `when { context.integrations.contains(${cedarString(integration)}) };`,
  ].join("\n");
}

/** Cedar text of the permit for `action` (`billing:invoice.create`); what `sallyport policy generated` prints. */
export function generatedPermit(action: string, grant: Grant): string {
  return [
    `permit (`,
    `  principal in System::${cedarString(grant.from)},`,
    `  action == Action::${cedarString(action)},`,
    `  resource`,
    `)`,
    `when { context.integration == ${cedarString(grant.integration)} };`,
  ].join("\n");
}
