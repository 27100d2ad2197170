// Promises that a gateway can record without control: the log keys it was sent are kept as they came, sealed to this node's own key.
// Trusts the node's X25519 key. Specified in docs/formats/seal.md and docs/formats/join.md.
import { createPrivateKey } from "node:crypto";
import { join } from "node:path";
import { readPrivateFile, replacePrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { createRecipientOpener } from "@sallyport/kernel/seal/recipient.ts";
import { Secret } from "@sallyport/kernel/seal/secret.ts";
import type { LogKeys } from "@sallyport/protocol/channel/messages.ts";
import type { OpenLogKeys } from "../ports.ts";
import type { NodeIdentity } from "./node-identity.ts";

export interface LogKeyCache {
  /** The keys of the last run; null when there are none or the file cannot be used: control will send them again. */
  cached(): OpenLogKeys | null;
  /** Opens keys from control and keeps them, still sealed. Throws SealFault when they are not for this node. */
  open(keys: LogKeys): OpenLogKeys;
  /** Opens a key that tokens are encrypted to; it is kept nowhere but in memory. Throws SealFault when it is not for this node. */
  openTokenKey(kid: string, sealed: string): Uint8Array;
}

/** Context the pseudonym key is sealed in; control seals with the same. */
export function logKeyContext(
  node: Pick<NodeIdentity, "tenant" | "environment" | "node">,
  epoch: string,
): Readonly<Record<string, string>> & { tenant: string; purpose: string } {
  return { tenant: node.tenant, environment: node.environment, node: node.node, epoch, purpose: "log-keys" };
}

/** Context the data key is sealed in. */
function dataKeyContext({ tenant, environment, node }: Pick<NodeIdentity, "tenant" | "environment" | "node">) {
  return { tenant, environment, node, purpose: "data-key" };
}

const cacheBytesMax = 16 * 1024;

/** The cache of a node that has joined. */
export function openLogKeyCache(dataDirectory: string, identity: NodeIdentity): LogKeyCache {
  const path = join(dataDirectory, "node", "log-keys.json");
  const opener = createRecipientOpener(Secret.fromBytes(rawPrivateKey(identity.sealKey)));
  const openSealed = (keys: LogKeys): OpenLogKeys => ({
    epoch: keys.epoch,
    pseudonymKey: opener.open(logKeyContext(identity, keys.epoch), Buffer.from(keys.pseudonymKeySealed, "base64url")),
    referenceRecipient: Buffer.from(keys.referenceRecipient, "base64url"),
    referenceKeyId: keys.referenceKeyId,
    ...(keys.dataKeySealed === undefined
      ? {}
      : { dataKey: opener.open(dataKeyContext(identity), Buffer.from(keys.dataKeySealed, "base64url")) }),
  });
  return {
    cached: () => {
      try {
        const bytes = readPrivateFile(path, cacheBytesMax);
        // Written below as control sent it; opening proves it.
        return bytes === null ? null : openSealed(JSON.parse(new TextDecoder().decode(bytes)) as LogKeys);
      } catch {
        return null;
      }
    },
    open: (keys) => {
      const opened = openSealed(keys);
      replacePrivateFile(path, Buffer.from(JSON.stringify(keys)));
      return opened;
    },
    openTokenKey: (kid, sealed) => {
      const { tenant, environment, node } = identity;
      const context = { tenant, environment, node, kid, purpose: "token-key" };
      return opener.open(context, Buffer.from(sealed, "base64url"));
    },
  };
}

function rawPrivateKey(pem: string): Uint8Array {
  const { d } = createPrivateKey(pem).export({ format: "jwk" });
  if (d === undefined) throw new Error("an X25519 private key has a d member");
  return Buffer.from(d, "base64url");
}
