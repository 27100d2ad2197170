// Promises which requests ask for a receipt, whatever the estate publishes: the path is the gateway's own. Trusts the canonical request.
// Specified in docs/receipts.md.
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";

/** Behind it stands the crossing id. */
export const receiptsPath = "/.well-known/sallyport/receipts";
/** As leaves name it; `sallyport` is no id that a system can have. */
export const receiptOperation = "sallyport:receipt.read";

const crossingForm = /^[a-z][a-z0-9-]{0,126}-[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** The crossing a request wants the receipt of; empty where it is none's in its one form; null: it is about something else. */
export function receiptAsked(request: Pick<CanonicalRequest, "method" | "segments" | "query">): string | null {
  const { method, segments, query } = request;
  if (segments[0] !== ".well-known" || segments[1] !== "sallyport" || segments[2] !== "receipts") return null;
  const crossing = segments[3] ?? "";
  return method === "GET" && query === "" && segments.length === 4 && crossingForm.test(crossing) ? crossing : "";
}
