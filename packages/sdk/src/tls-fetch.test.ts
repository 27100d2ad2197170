import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { SallyportFault } from "./fault.ts";
import { generateClientKey } from "./node-crypto.ts";
import { certificateThumbprint, tlsFetch } from "./tls-fetch.ts";
import { tokenClient } from "./token-client.ts";

const hourMs = 3_600_000;
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const life = { notBeforeMs: Date.now() - hourMs, notAfterMs: Date.now() + hourMs };
const caFor = (use: string): LocalCa =>
  createLocalCa({ tenant: "main", environment: "production", random, use, ...life });
const ca = caFor("servers");

function leaf(usage: "client" | "server"): { readonly cert: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  const names = usage === "server" ? { dns: ["localhost"] } : { uri: "spiffe://acme.example/orders" };
  const issued = issueLeaf({ ca, publicKeySpki, names, usage, random, ...life });
  return { cert: issued.pem + ca.certificatePem, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

let server: Server;
let origin = "";
let handler: (request: IncomingMessage, response: ServerResponse) => void;
before(async () => {
  const options = { ...leaf("server"), ca: ca.certificatePem, requestCert: true, rejectUnauthorized: false };
  server = createServer(options, (request, response) => handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A listening TCP server always has an AddressInfo.
  origin = `https://localhost:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Thumbprint of the certificate a request came with. */
function presented(request: IncomingMessage): string | null {
  // Every connection of this server is TLS.
  const { raw } = (request.socket as TLSSocket).getPeerCertificate();
  return raw === undefined ? null : certificateThumbprint(new X509Certificate(raw).toString());
}

test("the roots that are named are trusted, and no others", async () => {
  handler = (_request, response) => response.end("yes");
  assert.equal(await (await tlsFetch({ ca: ca.certificatePem })(origin)).text(), "yes");
  const others = caFor("others").certificatePem;
  await assert.rejects(tlsFetch({ ca: others })(origin), /certificate|issuer/);
  await assert.rejects(tlsFetch({ ca: ca.certificatePem })(origin.replace("localhost", "127.0.0.1")), /altnames|IP/i);
});

test("method, fields and body arrive as given; the client certificate with them", async () => {
  const mine = leaf("client");
  handler = (request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const { "x-mine": x, "content-length": length } = request.headers;
      response.setHeader("set-cookie", ["a=1", "b=2"]);
      response.end(JSON.stringify({ method: request.method, x, length, body, x5t: presented(request) }));
    });
  };
  const call = tlsFetch({ ca: ca.certificatePem, ...mine });
  const response = await call(`${origin}/x`, { method: "PUT", body: "täxt", headers: { "x-mine": "1" } });
  const x5t = certificateThumbprint(mine.cert);
  assert.deepEqual(await response.json(), { method: "PUT", x: "1", length: "5", body: "täxt", x5t });
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
});

test("redirects, plain http and half a certificate are refused", async () => {
  handler = (_request, response) => response.writeHead(302, { location: "https://evil.example/" }).end();
  const call = tlsFetch({ ca: ca.certificatePem });
  assert.equal((await call(origin)).status, 302, "seen, not followed");
  await assert.rejects(call(origin, { redirect: "error" }), /redirect/);
  await assert.rejects(call(origin, { redirect: "follow" }), /not followed/);
  await assert.rejects(call("http://127.0.0.1:1/"), /https/);
  assert.throws(() => tlsFetch({ key: "x" }), /needs its key/);
});

test("an aborted request ends, also in the middle of its answer", async () => {
  handler = (_request, response) => void response.write("first");
  const abort = new AbortController();
  const response = await tlsFetch({ ca: ca.certificatePem })(origin, { signal: abort.signal });
  const reader = response.body?.getReader();
  assert.equal(new TextDecoder().decode((await reader?.read())?.value), "first");
  abort.abort();
  await assert.rejects(async () => reader?.read());
});

test("answers without a body have none", async () => {
  handler = (_request, response) => response.writeHead(204).end();
  assert.equal((await tlsFetch({ ca: ca.certificatePem })(origin)).body, null);
});

test("with proof mtls only a token bound to this very certificate is taken: not a free one, not one of another certificate, not a DPoP one", async () => {
  const mine = leaf("client");
  const issuer = `${origin}/main/production`;
  let answer: object = {};
  handler = (request, response) => {
    response.setHeader("content-type", "application/json");
    request.resume();
    if (request.method === "GET")
      return void response.end(JSON.stringify({ issuer, token_endpoint: `${issuer}/token` }));
    assert.equal(request.headers["dpop"], undefined);
    response.end(JSON.stringify({ expires_in: 300, ...answer }));
  };
  const options = { issuer, clientId: "orders", key: generateClientKey().signer, proof: "mtls" } as const;
  const client = tokenClient({ ...options, tls: { ca: ca.certificatePem, ...mine } });
  const token = (cnf?: object) => `e30.${Buffer.from(JSON.stringify({ cnf })).toString("base64url")}.c2ln`;
  const ask = () => client.token({ resource: `${issuer}/systems/billing` });
  for (const bad of [
    { token_type: "Bearer", access_token: token() },
    { token_type: "Bearer", access_token: token({ "x5t#S256": certificateThumbprint(leaf("client").cert) }) },
    { token_type: "DPoP", access_token: token({ "x5t#S256": certificateThumbprint(mine.cert) }) },
  ]) {
    answer = bad;
    await assert.rejects(ask(), (error) => error instanceof SallyportFault && error.code === "token-answer-unusable");
  }
  answer = { token_type: "Bearer", access_token: token({ "x5t#S256": certificateThumbprint(mine.cert) }) };
  assert.equal((await ask()).scheme, "Bearer");
});
