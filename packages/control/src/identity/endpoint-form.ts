// Promises the form of an endpoint, bounded and unjudged, with the internal grant type that names the endpoint put in by us and never by the caller.
// Trusts the listener for the length of the body. Format: application/x-www-form-urlencoded, RFC 6749 appendix B.
import type { IncomingMessage } from "node:http";
import { parse } from "node:querystring";
import type { ClientEndpoint } from "./seams.ts";

/** Nobody but us sends this as `grant_type`: the endpoint's handler is only reached by its own path. */
export function endpointGrantType({ path }: Pick<ClientEndpoint, "path">): string {
  return `urn:sallyport:endpoint:${path.slice(1)}`;
}

const formBytesMax = 16 * 1024;
const parametersMax = 200;

/** The parameters by name, those that came twice as arrays; null when the request is no form or names a grant type. */
export async function readEndpointForm(
  req: IncomingMessage,
  endpoint: Pick<ClientEndpoint, "path">,
): Promise<Form | null> {
  const form = await readForm(req);
  return form === null || form["grant_type"] !== undefined
    ? null
    : { ...form, grant_type: endpointGrantType(endpoint) };
}

export type Form = Readonly<Record<string, string | readonly string[] | undefined>>;

const forms = new WeakMap<IncomingMessage, Promise<Form | null>>();

/** The parameters by name, those that came twice as arrays; null when the request is no form. Reads the body once, however often it is asked. */
export function readForm(req: IncomingMessage): Promise<Form | null> {
  const known = forms.get(req);
  if (known !== undefined) return known;
  const read = readBody(req);
  forms.set(req, read);
  return read;
}

/** Whether the body is gone from the connection: nobody else can read it. */
export function wasFormRead(req: IncomingMessage): boolean {
  return forms.has(req);
}

async function readBody(req: IncomingMessage): Promise<Form | null> {
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(req.headers["content-type"] ?? "")) return null;
  const chunks: Buffer[] = [];
  let length = 0;
  // Without an encoding set on the stream every chunk is a Buffer.
  for await (const chunk of req as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > formBytesMax) return null;
    chunks.push(chunk);
  }
  return { ...parse(Buffer.concat(chunks).toString("utf8"), "&", "=", { maxKeys: parametersMax }) };
}
