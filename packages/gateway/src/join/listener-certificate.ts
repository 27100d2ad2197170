// Promises a certificate for listeners that were given none: from the environment's local CA over the channel, kept for starts without control.
// Trusts the channel. Specified in docs/formats/join.md.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { readPrivateFile, replacePrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import type { ChannelTransport } from "../channel/feed.ts";
import { parseTextMembers } from "./answer-members.ts";
import { JoinFault, privatePem, proveKey, spkiText } from "./node-identity.ts";

export interface ListenerTls {
  /** PEM: certificate, then the root of the environment's local CA. */
  readonly cert: string;
  readonly key: string;
}

/** Without control, a kept certificate is used while at least this much of its life is left. */
const usableMs = 3_600_000;
const keptBytesMax = 64 * 1024;

/**
 * A fresh certificate from control, or the kept one when control is away.
 * Throws JoinFault `join-unreachable` when control gives none and there is no usable one; SealFault when the fresh one cannot be kept.
 */
export async function fetchListenerTls(
  dataDirectory: string,
  transport: ChannelTransport,
  now: () => number = Date.now,
): Promise<ListenerTls> {
  const path = join(dataDirectory, "node", "listener.json");
  let fresh: ListenerTls;
  try {
    fresh = await askForCertificate(transport);
  } catch (cause) {
    const kept = readKept(path, now());
    if (kept !== null) return kept;
    throw new JoinFault(
      "join-unreachable",
      "Control gave no certificate for the listeners. Check that it runs and that sallyport.yaml names a gateway listener, or pass --tls-cert and --tls-key.",
      cause,
    );
  }
  replacePrivateFile(path, Buffer.from(JSON.stringify(fresh)));
  return fresh;
}

async function askForCertificate(transport: ChannelTransport): Promise<ListenerTls> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const spki = spkiText(privateKey);
  const body = JSON.stringify({ spki, proof: proveKey(privateKey, `sallyport-listener/v1\n${spki}`) });
  const answer = await transport.post("/channel/v1/listener-certificate", body);
  const { certificate, authority } = parseTextMembers(answer, ["certificate", "authority"]);
  if (!new X509Certificate(certificate).checkPrivateKey(privateKey))
    throw new Error("control certified another key than the one just made");
  return { cert: certificate + authority, key: privatePem(privateKey) };
}

function readKept(path: string, now: number): ListenerTls | null {
  try {
    const bytes = readPrivateFile(path, keptBytesMax);
    if (bytes === null) return null;
    const { cert, key } = parseTextMembers(bytes, ["cert", "key"]);
    const certificate = new X509Certificate(cert);
    const usable =
      certificate.validToDate.getTime() - now > usableMs && certificate.checkPrivateKey(createPrivateKey(key));
    return usable ? { cert, key } : null;
  } catch {
    // Damaged or readable by others: it is not used, and control is asked again at the next start.
    return null;
  }
}
