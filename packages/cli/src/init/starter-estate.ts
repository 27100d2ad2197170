// Promises the smallest estate that runs: one API, one caller, one grant, in at most 12 lines of YAML besides comments. Pure.
// Trusts its caller to have checked the words (init.ts). Specified in docs/cli/init.md.

export interface StarterChoice {
  /** Id of the system behind the gateway. */
  readonly name: string;
  readonly upstream: string;
  /** The URL leads to a private or loopback address, which has to be said. */
  readonly isPrivate: boolean;
  /** Id of the calling system, and of its client. */
  readonly consumer: string;
}

export interface NewFile {
  /** Relative to the estate, with `/`. */
  readonly file: string;
  readonly text: string;
}

/** Two operations to begin with: those of the documentation, or ones of any API. */
export function starterOperations(name: string): readonly { readonly name: string; readonly match: string }[] {
  const [noun, path] = name === "billing" ? ["invoice", "/v1/invoices"] : ["item", "/items"];
  return [
    { name: `${noun}.create`, match: `POST ${path}` },
    { name: `${noun}.read`, match: `GET ${path}/{id}` },
  ];
}

export function starterEstate(choice: StarterChoice): readonly NewFile[] {
  return [
    { file: `systems/${choice.name}.yaml`, text: provider(choice) },
    { file: `systems/${choice.consumer}.yaml`, text: consumer(choice) },
  ];
}

function provider({ name, upstream, isPrivate }: StarterChoice): string {
  return [
    "# The API behind the gateway: where it is, and the business actions it offers.",
    `system: ${name}`,
    `url: ${upstream}`,
    ...(isPrivate ? ["allowPrivate: true # the URL leads to a private address, and that is meant"] : []),
    "# A name of your choice, the method, the path as your API has it. Whatever is not declared is refused.",
    "operations:",
    ...starterOperations(name).map((operation) => `  ${operation.name}: ${operation.match}`),
    "",
  ].join("\n");
}

function consumer({ name, consumer }: StarterChoice): string {
  const granted = starterOperations(name).map((operation) => operation.name);
  return [
    `# A caller of ${name}. \`sallyport dev\` makes its key. For \`sallyport serve\`, make one with`,
    `#   sallyport client-key new --private .sallyport/clients/${consumer}.key.pem --public systems/${consumer}.jwks.json`,
    `# and declare it: identity: { client: ${consumer}, keys: [${consumer}.jwks.json] }`,
    `system: ${consumer}`,
    `identity: { client: ${consumer} }`,
    "# What it may call, and why: what is not granted here is denied.",
    "uses:",
    `  - to: ${name}`,
    `    purpose: Say here why ${consumer} needs ${name}`,
    `    operations: [${granted.join(", ")}]`,
    "",
  ].join("\n");
}

/** State and private keys never go into version control. */
export const gitignore: NewFile = { file: ".gitignore", text: ".sallyport/\n*.key.pem\n" };
