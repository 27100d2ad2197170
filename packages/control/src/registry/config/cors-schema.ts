// Promises how an integration says which pages of browsers may call under it: whole origins, by the octet, as browsers write them. Trusts nothing.
// What it does: docs/cors.md, Fetch §3.2.
import { keepsResponseHeader, reachesProvider } from "@sallyport/protocol/canonical/hop-headers.ts";
import type { CorsObject } from "@sallyport/protocol/snapshot/cors-object.ts";
import { z } from "zod";
import { duration, word } from "./words.ts";

const originsMax = 32;
const fieldsMax = 32;
const maxAgeMsMax = 86_400_000;
/** What a request may have for a name here; not `*`, which stands for all of them. */
const fieldName = /^[a-z0-9-]{1,64}$/;
/** Read here, and said anew to the provider. */
const readHere: ReadonlySet<string> = new Set(["traceparent", "request-timeout-ms"]);
const loopbackHosts: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

const refuse = (refused: string, fix: string) => ({ refused, fix });

/** An origin as browsers write it (RFC 6454 §6.2): what they send is compared with this, octet by octet. */
const pageOrigin = () =>
  word((text) => {
    if (text === "*") return refuse("everybody's pages", "name each origin, for example `https://shop.example`");
    if (text === "null") return refuse("no origin: any page can have it, in a frame", "name the origin of the page");
    if (!URL.canParse(text))
      return refuse("not an origin", "write scheme, host and port, for example `https://shop.example`");
    const { origin, protocol, hostname } = new URL(text);
    if (protocol !== "https:" && !(protocol === "http:" && loopbackHosts.has(hostname)))
      return refuse("not https", "serve the page by https; `http` is for `localhost`, `127.0.0.1` and `[::1]` alone");
    if (hostname.includes("*")) return refuse("a pattern", "name each origin, for example `https://shop.example`");
    return text === origin ? { value: text } : refuse("not as browsers write it", `write \`${origin}\``);
  });

const field = (mayBe: (name: string) => boolean, why: string) =>
  word((text) => {
    const name = text.toLowerCase();
    if (!fieldName.test(name)) return refuse("not a field name", "write each name, for example `x-request-id`");
    return mayBe(name) ? { value: name } : refuse(why, "remove it");
  });

const none: ReadonlySet<string> = new Set();

export const cors = () =>
  z
    .strictObject({
      origins: z
        .array(pageOrigin())
        .min(1)
        .max(originsMax)
        .describe(
          "Origins of the pages, exact, for example `https://shop.example`; no pattern, https but on loopback.",
        ),
      allowHeaders: z
        .array(field((name) => reachesProvider(name) || readHere.has(name), "it ends at the gateway"))
        .max(fieldsMax)
        .prefault([])
        .describe(
          "Request fields that a page may set besides `Authorization`, `DPoP`, `Content-Type` and `Idempotency-Key`.",
        ),
      exposeHeaders: z
        .array(field((name) => keepsResponseHeader(name, none), "the provider's does not go back to callers"))
        .max(fieldsMax)
        .prefault([])
        .describe(
          "Response fields of the provider that a page may read besides those every page may and the gateway's own.",
        ),
      maxAge: duration({ minMs: 0, maxMs: maxAgeMsMax, says: "`0s` to `24h`" })
        .prefault("10m")
        .describe("How long a browser may keep what it was told before a request."),
    })
    .describe("Pages of browsers that may call under it; without it none may.");

export type CorsSource = z.output<ReturnType<typeof cors>>;

export function corsOf(source: CorsSource | undefined): { readonly cors?: CorsObject } {
  if (source === undefined) return {};
  const { origins, allowHeaders, exposeHeaders, maxAge } = source;
  const sorted = (names: readonly string[]) => [...new Set(names)].sort();
  return {
    cors: {
      origins: sorted(origins),
      allowHeaders: sorted(allowHeaders),
      exposeHeaders: sorted(exposeHeaders),
      maxAgeSeconds: Math.floor(maxAge / 1_000),
    },
  };
}
