// Promises the two fields of one signature over a message: what it covers, by which key and when, and the octets. Trusts its signer and the message to be what
// is sent. Specified by RFC 9421 §3.1; what gateways sign: docs/identity/signed-requests.md.
import { printBase64 } from "../audit/base64.ts";
import { printMember } from "../structured-fields/print.ts";
import { type BareItem, type InnerList, noParameters } from "../structured-fields/values.ts";
import type { TokenSigner } from "../token/crypto.ts";
import { utf8 } from "../token/json.ts";
import { type SignedMessage, signatureBase } from "./signature-base.ts";

export interface ToSign {
  readonly message: SignedMessage;
  /** Names of components without parameters, in order. */
  readonly components: readonly string[];
  readonly label: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly expires: number;
  readonly nonce: string;
  readonly tag: string;
}

/** Values of Signature-Input and Signature. Throws where a component is not in the message: its maker chose both. */
export function signMessage(
  { message, components, label, created, expires, nonce, tag }: ToSign,
  signer: Pick<TokenSigner, "kid" | "alg" | "sign">,
): { readonly input: string; readonly signature: string } {
  const text = (value: string): BareItem => ({ type: "string", value });
  const list: InnerList = {
    kind: "inner-list",
    items: components.map((name) => ({ kind: "item", value: text(name), parameters: noParameters })),
    parameters: new Map<string, BareItem>([
      ["created", { type: "integer", value: created }],
      ["expires", { type: "integer", value: expires }],
      ["nonce", text(nonce)],
      ["alg", text(signer.alg === "EdDSA" ? "ed25519" : "ecdsa-p256-sha256")],
      ["keyid", text(signer.kid)],
      ["tag", text(tag)],
    ]),
  };
  const base = signatureBase(message, list);
  const printed = printMember(list);
  if (typeof base !== "string" || printed === null)
    throw new Error(`nothing to sign: ${typeof base === "string" ? "a parameter has no text" : base.why}`);
  const octets = signer.sign(utf8(base));
  return { input: `${label}=${printed}`, signature: `${label}=:${printBase64(octets)}:` };
}
