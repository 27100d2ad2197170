// Promises the form of a rule's examples: files that trip it, and the nearest files that do not. Pure. Trusts nothing.
// A test loads each of them over the example estate (docs/lint/README.md), so that no page shows what is not so.

export interface RuleExample {
  /** Files that the rule finds something in, each headed by `# <file>`. */
  readonly bad: string;
  /** The nearest that it does not. */
  readonly good: string;
  /** When it is right to accept the finding for a time. */
  readonly waive: string;
}

export type RuleExamples = Readonly<Record<string, RuleExample>>;

/** `# systems/billing.yaml` above YAML, `// policies/x.cedar` above Cedar. */
export function filesOf(example: string): Readonly<Record<string, string>> {
  const files: Record<string, string> = {};
  let current: string | null = null;
  for (const line of example.split("\n")) {
    const name = /^(?:#|\/\/) ((?:[a-z]+\/)?[a-z0-9-]+(?:\.[a-z]+)+)$/.exec(line)?.[1];
    if (name !== undefined) {
      current = name;
      files[name] = "";
    } else if (current !== null) files[current] += `${line}\n`;
  }
  return files;
}

const purpose = "purpose: Charge a customer when an order ships";

/** The provider of the example estate with other lines after its `url`. */
export function billing(more: string): string {
  return `# systems/billing.yaml\nsystem: billing\nurl: https://billing.acme.example\n${more}`;
}

/** The same with one operation. */
export function operation(name: string, more: string): string {
  return billing(`operations:\n  ${name}:\n    ${more.split("\n").join("\n    ")}`);
}

/** The integration of the example estate with other lines after its purpose. */
export function integration(more: string, operations = "invoice.read"): string {
  const lines = more === "" ? "" : `${more}\n`;
  return `# integrations/orders-to-billing.yaml\nintegration: orders-to-billing\nfrom: orders\nto: billing\n${purpose}\n${lines}operations: [${operations}]`;
}

/** The integration with another purpose. */
export function purposed(text: string): string {
  return integration("").replace(purpose, `purpose: ${text}`);
}

/** The consumer of the example estate with another identity. */
export function orders(identity: string): string {
  return `# systems/orders.yaml\nsystem: orders\n${identity}`;
}

/** Grants only invoice.read, so that an example stays about one operation. */
export const readOnly = integration("");
