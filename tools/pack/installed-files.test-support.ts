// Promises the files of a stranger's first folder: an estate, a key, the service and the caller of docs/sdk.md, a consumer in TypeScript.
// Trusts its caller for free ports; for tests.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";

type Ports = Readonly<Record<"identity" | "channel" | "admin" | "gateway" | "service", number>>;

const page = readFileSync(join(import.meta.dirname, "../../docs/sdk.md"), "utf8");

/** The block of docs/sdk.md that begins with its file's name, at these ports instead of the default ones. */
function fromPage(name: string, ports: Ports): string {
  const block = page.split("```js\n").find((text) => text.startsWith(`// ${name}\n`));
  if (block === undefined) throw new Error(`docs/sdk.md has no block that begins with // ${name}`);
  return block
    .slice(0, block.indexOf("```"))
    .replaceAll(":7440", `:${ports.identity}`)
    .replaceAll(":8443", `:${ports.gateway}`)
    .replace("listen(8080", `listen(${ports.service}`);
}

export async function installedFiles(
  folder: string,
  ports: Ports,
): Promise<{ readonly serve: readonly string[]; readonly service: string }> {
  const { signer, pem } = generateClientKey();
  const gateway = `https://127.0.0.1:${ports.gateway}`;
  const billing = `system: billing\nurl: http://127.0.0.1:${ports.service}\nallowPrivate: true\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n`;
  const files: Readonly<Record<string, string>> = {
    "estate/sallyport.yaml": `estate: stranger\nlisteners:\n  public:\n    url: ${gateway}\n`,
    "estate/systems/billing.yaml": billing,
    "estate/systems/orders.yaml":
      "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\nuses:\n  - to: billing\n    purpose: Charge a customer when an order ships\n    operations: [invoice.read]\n",
    "estate/systems/orders.jwks.json": JSON.stringify(publicJwks([signer])),
    "broken/systems/billing.yaml": billing.replace("url:", "urll:"),
    "orders.pem": pem,
    "service.js": fromPage("service.js", ports),
    "caller.js": fromPage("caller.js", ports),
    "consumer.ts": consumer,
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text, { mode: 0o600 });
  }
  const at = (port: number) => `127.0.0.1:${port}`;
  const listen = ["--identity-listen", at(ports.identity), "--channel-listen", at(ports.channel)];
  const more = ["--admin-listen", at(ports.admin), "--status-listen", at(0), "--listen", `public=${at(ports.gateway)}`];
  return {
    service: `http://${at(ports.service)}`,
    serve: ["--json", "serve", "--config", "estate", "--grace", "1s", ...listen, ...more],
  };
}

const consumer = `
import {
  createDirectVerifier, createRequestVerifier, DeniedError, denialOf, principalOf, SallyportFault, sallyportFetch, sallyportMiddleware,
  throwIfDenied, tokenClient, type ServicePrincipal,
} from "@sallyport/sdk";
import { createGateway } from "@sallyport/gateway";
import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";

const issuer = "https://id.example/main/production";
const { privateKey } = generateKeyPairSync("ed25519");
const client = tokenClient({ issuer, clientId: "orders", key: privateKey });
const call = sallyportFetch({ client, gateway: "https://gw.example", resource: issuer + "/systems/billing" });
export async function read(): Promise<string | null> {
  try {
    return await (await throwIfDenied(await call("/billing/v1/invoices/7", { signal: AbortSignal.timeout(1000) }))).text();
  } catch (error) {
    if (error instanceof DeniedError) return error.denial.correlationId;
    if (error instanceof SallyportFault && error.code === "token-endpoint-refused") return error.fix;
    throw error;
  }
}
const verify = createRequestVerifier({ issuer, audience: issuer + "/systems/billing" });
createDirectVerifier({ issuer, audience: issuer + "/systems/billing", url: "https://billing.example" }).nonce();
const guard = sallyportMiddleware(verify, { onRefused: ({ code }, id) => console.log(code, id) });
createServer((request, response) => guard(request, response, () => {
  const who: ServicePrincipal = principalOf(request);
  response.end(who.caller);
}));
export const status: number | undefined = (await denialOf(new Response(null, { status: 403 })))?.status;
export const gateway: typeof createGateway = createGateway;
// @ts-expect-error a client needs an issuer
tokenClient({ clientId: "orders", key: privateKey });
`;
