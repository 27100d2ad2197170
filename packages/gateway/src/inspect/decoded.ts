// Promises the bytes behind a Content-Encoding within the bound of the body, whatever they unfold to. Trusts zlib for the format (RFC 1952).
// Specified in docs/inspection.md "What a request carries".
import { gunzip } from "node:zlib";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { tooLarge } from "./content.ts";

/** Off the thread that serves; it stops as soon as there are more than `bytesMax`. */
export function unzip(bytes: Uint8Array, bytesMax: number): Promise<{ readonly bytes: Uint8Array } | Deny> {
  return new Promise((resolve) => {
    gunzip(bytes, { maxOutputLength: bytesMax }, (error, whole) => {
      if (error === null) return resolve({ bytes: whole });
      if ("code" in error && error.code === "ERR_BUFFER_TOO_LARGE") return resolve(tooLarge(bytesMax));
      resolve(
        deny("inspect", "body-malformed", {
          why: "not gzip",
          detail: "The content is not gzip, as its Content-Encoding says",
        }),
      );
    });
  });
}
