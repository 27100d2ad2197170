// Promises that a gateway restarted without control can forward: its hop key and control's certificate for it outlive the process, for a while.
// Trusts the file system's owner bits and, for use, the certificate (exchange/hop-key.ts). Specified in docs/formats/join.md "Hop keys".
import { join } from "node:path";
import { readPrivateFile, replacePrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { generateSigner, signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";

export interface HopCertificate {
  readonly kid: string;
  readonly jws: string;
}

export interface HopKeyStore {
  readonly signer: TokenSigner;
  /** The key behind it (PKCS #8), for worker threads of this process. */
  readonly pem: string;
  /** Of the last run; null for a fresh key. */
  readonly certificate: HopCertificate | null;
  /** Keeps control's newest certificate beside the key. */
  keep(certificate: HopCertificate): void;
}

/** A start takes up a key of an earlier one only while it is younger than this. */
export const hopKeyAgeMsMax = 7 * 86_400_000;
const fileBytesMax = 16 * 1024;

interface Kept {
  readonly v: 1;
  /** PKCS#8. */
  readonly pem: string;
  /** Milliseconds since the epoch. */
  readonly madeAt: number;
  readonly certificate: HopCertificate;
}

/** The hop key of this start: the kept one while it is young, else a fresh one. A file that cannot be used is as good as none. */
export function openHopKeyStore(dataDirectory: string, now: () => number): HopKeyStore {
  const path = join(dataDirectory, "node", "hop.json");
  const kept = readKept(path, now());
  const fresh = kept === null ? generateSigner("ES256") : null;
  const pem = kept?.pem ?? fresh?.pem ?? "";
  const madeAt = kept?.madeAt ?? now();
  const signer = fresh?.signer ?? signerFromPem(pem);
  return {
    signer,
    pem,
    certificate: kept?.certificate ?? null,
    keep: (certificate) => {
      if (certificate.kid !== signer.kid) return;
      replacePrivateFile(path, Buffer.from(JSON.stringify({ v: 1, pem, madeAt, certificate } satisfies Kept)));
    },
  };
}

function readKept(path: string, now: number): Kept | null {
  try {
    const bytes = readPrivateFile(path, fileBytesMax);
    if (bytes === null) return null;
    // Written above; the key is imported here and the certificate verified before each use.
    const kept = JSON.parse(new TextDecoder().decode(bytes)) as Kept;
    const age = now - kept.madeAt;
    const usable =
      kept.v === 1 && age >= 0 && age < hopKeyAgeMsMax && signerFromPem(kept.pem).kid === kept.certificate.kid;
    return usable ? kept : null;
  } catch {
    return null;
  }
}
