// The caller of docs/first-crossing.md: a token bound to a key of its own, a proof per request, both made by the SDK.
import { readFileSync } from "node:fs";
import { signerFromPem } from "@sallyport/sdk/node-crypto.ts";
import { sallyportFetch } from "@sallyport/sdk/sallyport-fetch.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";

const [keyFile = "", method = "GET", path = "/"] = process.argv.slice(2);
const issuer = "https://127.0.0.1:7440/main/production";
const client = new TokenClient({ issuer, clientId: "orders", key: signerFromPem(readFileSync(keyFile, "utf8")) });
const call = sallyportFetch({ client, resource: `${issuer}/systems/billing`, gateway: "https://127.0.0.1:8443" });
const body = method === "POST" ? { body: '{"amount":4200}', headers: { "content-type": "application/json" } } : {};
const response = await call(path, { method, ...body });
process.stdout.write(`${response.status} ${response.headers.get("sallyport-crossing")}\n${await response.text()}\n`);
