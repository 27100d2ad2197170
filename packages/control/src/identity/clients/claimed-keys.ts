// Promises which keys a request says it is signed with, and by whom: words of a stranger, good for looking a key up and for nothing else.
// Trusts endpoint-form.ts for bounds. RFC 7523 §3, RFC 9101 §5.
import type { IncomingMessage } from "node:http";
import { assertionBytesMax } from "../decide-assertion.ts";
import { type Form, readForm } from "../endpoint-form.ts";
import { claimedSigner } from "../one-spelling.ts";

export interface ClaimedKey {
  readonly client: string;
  readonly kid: string;
}

/** At most two: of the client assertion and of the request object. Never rejects; whatever is malformed is left to whoever judges it. */
export async function claimedKeys(req: IncomingMessage): Promise<readonly ClaimedKey[]> {
  const form = req.method === "GET" ? queryOf(req) : await readForm(req).catch(() => null);
  if (form === null) return [];
  const { client_id: named } = form;
  return [form["client_assertion"], form["request"]].flatMap((jws) => {
    if (typeof jws !== "string") return [];
    const signer = claimedSigner(jws, assertionBytesMax);
    // RFC 7521 §4.2: the form need not name the client, the assertion does.
    const client = named ?? signer?.issuer;
    return signer !== null && typeof client === "string" ? [{ client, kid: signer.kid }] : [];
  });
}

function queryOf(req: IncomingMessage): Form {
  const target = req.url ?? "";
  const at = target.indexOf("?");
  return at < 0 ? {} : Object.fromEntries(new URLSearchParams(target.slice(at + 1)));
}
