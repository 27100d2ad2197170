// Promises what is shown to a provider that asks who we are: the declared chain with the key that this node holds for it, or a fault that says which is
// missing. Trusts control to have read the chain. Specified in docs/dial.md (certificates of ours).
import { X509Certificate } from "node:crypto";
import { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { DialTls } from "@sallyport/kernel/dial/port.ts";
import { spkiOf, type UpstreamKeys } from "./upstream-keys.ts";

/** `chain`: PEM, the leaf first. */
export function shownCertificate(
  chain: string,
  on: { readonly system: string; readonly keys: UpstreamKeys | null },
): Required<Pick<DialTls, "cert" | "shown">> & { readonly key: () => string } {
  const leaf = new X509Certificate(chain);
  const spki = spkiOf(leaf.publicKey);
  const shown = `the certificate of ${on.system} (${nameOf(leaf)}, SHA-256 ${leaf.fingerprint256.replaceAll(":", "").toLowerCase()}, until ${new Date(leaf.validTo).toISOString()})`;
  return {
    cert: chain,
    shown,
    // At each connection: the key may come, or go, while the snapshot stays.
    key: () => {
      const key = on.keys?.keyFor(spki) ?? null;
      if (key !== null) return key;
      const fix =
        on.keys === null ? "Start the gateway with --upstream-keys" : "Put it into the folder of --upstream-keys";
      throw new DialFault("no-key", `this gateway has no private key for ${shown}. ${fix}`);
    },
  };
}

const nameOf = ({ subject, subjectAltName }: X509Certificate): string =>
  (subject || subjectAltName || "no name").replaceAll("\n", ", ");
