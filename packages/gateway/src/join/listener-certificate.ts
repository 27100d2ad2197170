// Promises a certificate for listeners that were given none: from the environment's local CA over the channel, kept for starts without control.
// Trusts the channel. Specified in docs/formats/join.md.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ChannelTransport } from "../channel/feed.ts";
import { JoinFault, privatePem, proveKey, spkiText } from "./node-identity.ts";
import { replacePrivateFile } from "./private-state.ts";

export interface ListenerTls {
  /** PEM: certificate, then the root of the environment's local CA. */
  readonly cert: string;
  readonly key: string;
}

/** A kept certificate is used as long as this much of its life is left; else a new one is asked for. */
const usableMs = 3_600_000;

/** Throws JoinFault `join-unreachable` when there is no usable certificate and control cannot give one. */
export async function fetchListenerTls(dataDirectory: string, transport: ChannelTransport): Promise<ListenerTls> {
  const path = join(dataDirectory, "node", "listener.json");
  const kept = readKept(path);
  try {
    const fresh = await askForCertificate(transport);
    replacePrivateFile(path, JSON.stringify(fresh));
    return fresh;
  } catch (cause) {
    if (kept !== null) return kept;
    throw new JoinFault(
      "join-unreachable",
      "Control gave no certificate for the listeners. Check that it runs and that sallyport.yaml names a gateway listener, or pass --tls-cert and --tls-key.",
      cause,
    );
  }
}

async function askForCertificate(transport: ChannelTransport): Promise<ListenerTls> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const spki = spkiText(privateKey);
  const body = JSON.stringify({ spki, proof: proveKey(privateKey, `sallyport-listener/v1\n${spki}`) });
  const answer: unknown = JSON.parse(new TextDecoder().decode(await transport.post("/channel/v1/listener-certificate", body)));
  if (typeof answer !== "object" || answer === null || !("certificate" in answer) || !("authority" in answer)) throw new Error("not a certificate answer");
  const { certificate, authority } = answer;
  if (typeof certificate !== "string" || typeof authority !== "string" || !new X509Certificate(certificate).checkPrivateKey(privateKey)) throw new Error("not a certificate for the key just made");
  return { cert: certificate + authority, key: privatePem(privateKey) };
}

function readKept(path: string): ListenerTls | null {
  if (!existsSync(path)) return null;
  try {
    // Written above; the parts are proven to belong together before they are used.
    const { cert, key } = JSON.parse(readFileSync(path, "utf8")) as ListenerTls;
    const certificate = new X509Certificate(cert);
    const usable = certificate.validToDate.getTime() - Date.now() > usableMs && certificate.checkPrivateKey(createPrivateKey(key));
    return usable ? { cert, key } : null;
  } catch {
    return null;
  }
}
