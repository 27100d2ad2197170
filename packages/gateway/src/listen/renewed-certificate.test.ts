import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect } from "node:tls";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import { defaultListenBounds } from "./bounds.ts";
import type { ListenerHandler } from "./connection.ts";
import { Listener } from "./listener.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const life = { notBeforeMs: Date.now(), notAfterMs: Date.now() + 86_400_000 };
const ca = createLocalCa({ tenant: "main", environment: "production", random, ...life });

function certificate(dns: string): { readonly cert: string; readonly key: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  const { pem } = issueLeaf({ ca, publicKeySpki, names: { dns: [dns] }, usage: "server", random, ...life });
  return { cert: pem, key: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
}

async function shownAt(port: number): Promise<string | undefined> {
  const socket = connect({ port, host: "127.0.0.1", ca: ca.certificatePem, checkServerIdentity: () => undefined });
  await once(socket, "secureConnect");
  const name = new X509Certificate(socket.getPeerX509Certificate()?.raw ?? "").subjectAltName;
  socket.destroy();
  return name;
}

test("a renewed certificate is shown from the next connection on, also after the roots changed, and a pair that does not fit changes nothing", async (t) => {
  // Nothing here speaks HTTP: the handler is never asked.
  const handler = { connectionRefused: () => {} } as unknown as ListenerHandler;
  const listener = new Listener(
    { name: "public", host: "127.0.0.1", port: 0, tls: certificate("first.test") },
    defaultListenBounds,
    handler,
  );
  const { port } = await listener.open();
  t.after(() => listener.close());
  assert.equal(await shownAt(port), "DNS:first.test");
  listener.useTls(certificate("second.test"));
  assert.equal(await shownAt(port), "DNS:second.test");
  listener.useRoots([ca.certificatePem]);
  assert.equal(await shownAt(port), "DNS:second.test");
  assert.throws(() => listener.useTls({ cert: certificate("third.test").cert, key: certificate("other.test").key }));
  listener.useRoots([]);
  assert.equal(await shownAt(port), "DNS:second.test");
});
