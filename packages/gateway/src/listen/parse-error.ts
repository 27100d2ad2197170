// Promises one defined refusal for every way a message can fail to be HTTP. Trusts the faults of kernel/http1.
// Specified in docs/gateway.md (listen); statuses by RFC 9110 §15, RFC 6585 §5.
import type { ContentFault } from "@sallyport/kernel/http1/content-reader.ts";
import type { HeadFault } from "@sallyport/kernel/http1/request-reader.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

const codes: Readonly<Record<HeadFault, Deny["code"]>> = {
  method: "bad-request-line",
  target: "bad-request-line",
  version: "bad-version",
  "head-too-large": "header-too-large",
  "too-many-fields": "header-too-large",
  "field-name": "bad-header",
  "field-value": "bad-header",
  "field-end": "bad-header",
  "content-length": "bad-framing",
  "transfer-encoding": "bad-framing",
  "both-framings": "bad-framing",
  "framing-of-1.0": "bad-framing",
};

/** The refusal of a head. */
export function headRefusal(fault: HeadFault): Deny {
  return deny("receive", codes[fault], { parser: fault });
}

/** Inside content every fault is one of framing: nobody knows where the next request begins. */
export function contentRefusal(fault: ContentFault): Deny {
  return deny("receive", "bad-framing", { parser: fault });
}

/** What did not come in time. */
export function timeoutRefusal(what: "head" | "content"): Deny {
  return deny("receive", "request-timeout", { parser: `${what}-timeout` });
}
