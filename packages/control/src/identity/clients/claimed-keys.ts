// Promises whom a request says it is from and which keys it says it is signed with: words of a stranger, good for looking up and counting alone.
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

/** Whom a form says it is from; null: nobody, or in a way that no client is. */
export async function claimedClient(req: IncomingMessage): Promise<string | null> {
  const basic = /^Basic ([A-Za-z0-9+/]+={0,2})$/.exec(req.headers.authorization ?? "")?.[1];
  if (basic !== undefined) return decoded(Buffer.from(basic, "base64").toString().split(":")[0] ?? "");
  const form = await readForm(req).catch(() => null);
  const { client_id: named, client_assertion: jws } = form ?? {};
  if (typeof named === "string") return named;
  return typeof jws === "string" ? (claimedSigner(jws, assertionBytesMax)?.issuer ?? null) : null;
}

/** RFC 6749 §2.3.1: the name in an Authorization field is form-encoded. */
function decoded(name: string): string | null {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return null;
  }
}

function queryOf(req: IncomingMessage): Form {
  const target = req.url ?? "";
  const at = target.indexOf("?");
  return at < 0 ? {} : Object.fromEntries(new URLSearchParams(target.slice(at + 1)));
}
