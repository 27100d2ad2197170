// Promises which requests are about a stream of their caller, whatever the estate publishes: the path is the gateway's own. Trusts the canonical request.
// Specified in docs/streams.md "Refreshing".
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";

/** Behind it stands the crossing id of the stream. */
export const streamsPath = "/.well-known/sallyport/streams";
/** As leaves name it; `sallyport` is no id that a system can have. */
export const refreshOperation = "sallyport:stream.refresh";

const crossingForm = /^[a-z][a-z0-9-]{0,126}-[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** The stream a request wants to refresh; empty where it names none in the one form; null: it is about something else. */
export function streamAsked(request: Pick<CanonicalRequest, "method" | "segments" | "query">): string | null {
  const { method, segments, query } = request;
  if (segments[0] !== ".well-known" || segments[1] !== "sallyport" || segments[2] !== "streams") return null;
  const crossing = segments[3] ?? "";
  return method === "POST" && query === "" && segments.length === 4 && crossingForm.test(crossing) ? crossing : "";
}
