// Promises a customer's browser without a screen: cookies per origin, redirects one after another, forms as a page holds them; and it remembers
// everything it was ever sent, so that a token among it can be found. Trusts node:https. What it can do no more: run scripts.
import { createHmac } from "node:crypto";
import { call, type Reply } from "./call.ts";

const redirectsMax = 8;
const totpStepMs = 30_000;

export class Browser {
  /** Everything every origin sent to it: headers and bodies. */
  readonly received: { readonly origin: string; readonly text: string }[] = [];
  readonly #ca: string;
  readonly #cookies = new Map<string, Map<string, string>>();

  /** `ca`: PEM of the roots it trusts. */
  constructor(ca: string) {
    this.#ca = ca;
  }

  /** The value of a cookie, as only the browser itself knows it; "" without one. */
  cookie(origin: string, name: string): string {
    return this.#cookies.get(origin)?.get(name) ?? "";
  }

  /** Goes to an address and on to wherever it is sent; the page it ends at. */
  async visit(address: string): Promise<Page> {
    return this.#follow(await this.request("GET", address), address);
  }

  /** Sends the form of a page whose address ends with `action`, filled in. */
  async submit(page: Page, action: string, fields: Readonly<Record<string, string>>): Promise<Page> {
    const form = formsOf(page.text).find((one) => one.action.endsWith(action));
    if (form === undefined)
      throw new Error(`no form to ${action} at ${page.address.split("?")[0]}, answered ${page.status}`);
    const address = new URL(form.action, page.address).href;
    const body = new URLSearchParams({ ...form.fields, ...fields }).toString();
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return this.#follow(await this.request("POST", address, { headers, body }), address);
  }

  /** One request, its answer not followed. */
  async request(
    method: string,
    address: string,
    { headers = {}, body }: { readonly headers?: Readonly<Record<string, string>>; readonly body?: string } = {},
  ): Promise<Reply> {
    const { origin } = new URL(address);
    const jar = [...(this.#cookies.get(origin) ?? [])].map(([name, value]) => `${name}=${value}`).join("; ");
    const sent = {
      ...(jar === "" ? {} : { cookie: jar }),
      ...(method === "GET" ? {} : { origin, "sec-fetch-site": "same-origin" }),
      ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }),
      ...headers,
    };
    const reply = await call(address, {
      method,
      headers: sent,
      tls: { ca: this.#ca },
      ...(body === undefined ? {} : { body }),
    });
    this.received.push({ origin, text: `${JSON.stringify(reply.headers)}\n${reply.text}` });
    this.#keep(origin, reply.headers["set-cookie"] ?? "");
    return reply;
  }

  async #follow(first: Reply, address: string): Promise<Page> {
    let [reply, at] = [first, address];
    for (let hop = 0; reply.status === 303 || reply.status === 302; hop += 1) {
      if (hop === redirectsMax) throw new Error("the browser was sent in a circle");
      at = new URL(reply.headers["location"] ?? "", at).href;
      reply = await this.request("GET", at);
    }
    return { address: at, status: reply.status, text: reply.text };
  }

  #keep(origin: string, fields: string): void {
    const jar = this.#cookies.get(origin) ?? new Map<string, string>();
    this.#cookies.set(origin, jar);
    // Cookies of this estate have no Expires, so a comma only separates two of them.
    for (const field of fields === "" ? [] : fields.split(",")) {
      const [pair = ""] = field.split(";");
      const at = pair.indexOf("=");
      if (/; ?Max-Age=0(?:;|$)/.test(field)) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
  }
}

export interface Page {
  readonly address: string;
  readonly status: number;
  readonly text: string;
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'", "#96": "`" };
const unescaped = (text: string) =>
  text.replace(/&(amp|lt|gt|quot|#39|#96);/g, (_, name: string) => entities[name] ?? "");

interface Form {
  readonly action: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** The forms of a page and what they hold already. Pure. */
export function formsOf(page: string): readonly Form[] {
  return [...page.matchAll(/<form ([^>]*)>([\s\S]*?)<\/form>/g)].map(([, head = "", body = ""]) => {
    const attribute = (tag: string, name: string) =>
      unescaped(new RegExp(`(?:^| )${name}="([^"]*)"`).exec(tag)?.[1] ?? "");
    const inputs = [...body.matchAll(/<input ([^>]*)>/g)].map(([, tag = ""]) => [
      attribute(tag, "name"),
      attribute(tag, "value"),
    ]);
    return { action: attribute(head, "action"), fields: Object.fromEntries(inputs) };
  });
}

/** The customer's authenticator app: the code of a step of 30 s, `ahead` steps from now (RFC 6238). `seed` is base32, as the page shows it. */
export function codeOf(seed: string, ahead: number, nowMs = Date.now()): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...seed.replaceAll(" ", "")]
    .map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0"))
    .join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(nowMs / totpStepMs) + ahead));
  const mac = createHmac("sha1", key).update(counter).digest();
  const number = mac.readUInt32BE((mac.at(-1) ?? 0) & 0x0f) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, "0");
}
