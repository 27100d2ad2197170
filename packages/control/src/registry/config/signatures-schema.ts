// Promises what may be written under `identity.signatures`, and its reading: public keys with a name and an algorithm each. Trusts the types and the files it
// names. The reference in docs/configuration.md is generated from these types; what they do: docs/identity/message-signatures.md.
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import {
  readSignatureKey,
  type SignatureKey,
  type SignaturesObject,
} from "@sallyport/protocol/signature/signature-key.ts";
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { type EstateIo, readNamed } from "./estate-io.ts";
import { errorAt, type Finding, type Spot } from "./finding.ts";
import { filePath } from "./words.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** A key more is a lookup more for nobody; a rotation needs two. */
const keysMax = 16;
const coversMax = 32;

const signatures = z.strictObject({
  keys: z
    .array(filePath())
    .min(1)
    .max(8)
    .describe(
      "JWKS files with the public keys it signs requests with: Ed25519, P-256 or RSA (PS512); `kid` is the `keyid` of its signatures, else the thumbprint.",
    ),
  covers: z
    .array(
      z
        .string()
        .max(128)
        .regex(/^[a-z0-9-]+$/),
    )
    .max(coversMax)
    .prefault([])
    .describe(
      "Fields (lower case) that have to be signed where a request has them, besides method, target and content digest.",
    ),
  nonce: z
    .enum(["any", "gateway"])
    .prefault("any")
    .describe("`gateway`: a signature is good only with a nonce of the very gateway; `any`: with any, or none."),
});

export type SignaturesSource = z.output<typeof signatures>;

export const signaturesKeys = {
  signatures: signatures
    .optional()
    .describe(
      "Message signatures (RFC 9421) that prove the system without a token, where an integration accepts them.",
    ),
};

export interface SignaturesReading {
  readonly signatures?: SignaturesObject;
  readonly findings: readonly Finding[];
}

export function readSignatures(io: EstateIo, tree: MapTree, source: SignaturesSource | undefined): SignaturesReading {
  if (source === undefined) return { findings: [] };
  const findings: Finding[] = [];
  const keys: SignatureKey[] = [];
  for (const [index, file] of source.keys.entries()) {
    const spot = spotOf(tree, ["identity", "signatures", "keys", index]);
    const read = readKeys(io, spot, file);
    if ("message" in read) findings.push(errorAt(spot, read.message, read.fix));
    else keys.push(...read.keys);
  }
  const whole = spotOf(tree, ["identity", "signatures"], "key");
  if (keys.length > keysMax) findings.push(errorAt(whole, `more than ${keysMax} keys`, "take out the old ones"));
  const names = keys.map(({ keyid }) => keyid);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    findings.push(errorAt(whole, `two keys are named ${twice}`, "give each key a `kid` of its own"));
  const { covers, nonce } = source;
  const sorted = keys.sort((a, b) => (a.keyid < b.keyid ? -1 : 1));
  return { signatures: { keys: sorted, covers, ...(nonce === "gateway" ? { nonce } : {}) }, findings };
}

type No = { readonly message: string; readonly fix: string };

function readKeys(io: EstateIo, spot: Spot, named: string): { readonly keys: readonly SignatureKey[] } | No {
  const read = readNamed(io, spot.file, named);
  if ("message" in read) return read;
  const no = (message: string, fix: string): No => ({ message: `${read.file}: ${message}`, fix });
  let parsed: unknown;
  try {
    parsed = JSON.parse(read.text);
  } catch {
    return no("not JSON", 'write a JWKS: {"keys": [ … ]}');
  }
  // What it holds is judged key by key.
  const listed = typeof parsed === "object" && parsed !== null && "keys" in parsed ? parsed.keys : null;
  if (!Array.isArray(listed) || listed.length === 0 || listed.length > itemsMax)
    return no("not a JWKS", 'write {"keys": [ … ]} with at least one public key (RFC 7517 §5)');
  const keys: SignatureKey[] = [];
  for (const [index, value] of listed.entries()) {
    const key = readSignatureKey(value, { sha256 });
    if (key === null)
      return no(
        `key ${index} is not the public half of an Ed25519, P-256 or RSA key (2048 to 4096 bits, PS512) with nothing else in it`,
        "write the public key alone; if the file held a private key, that key is known now: make a new pair",
      );
    keys.push(key);
  }
  return { keys };
}
