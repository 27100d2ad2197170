// Promises that a connection whose requests have, octet for octet, the header section of the one before costs neither the judgement of its fields nor
// the printing of those that go on to the provider again; whoever presents them is identified and judged anew each time.
// Trusts kernel/http1 to give one and the same list only for the same octets. Format: none, it never leaves memory.
import { HeadLines } from "@sallyport/kernel/http1/request-head.ts";
import { type ReadSection, sectionReader } from "@sallyport/protocol/canonical/canonicalize.ts";
import { headersPassedUpstream } from "@sallyport/protocol/canonical/hop-headers.ts";
import type { CanonicalHeaders } from "@sallyport/protocol/canonical/request.ts";
import { timeLeftField } from "../forward/time-left.ts";

/** Fields that the provider gets from us alone. */
const ours = ["traceparent", "sallyport-identity", "sallyport-crossing", timeLeftField] as const;

/** Of one connection. */
export class RepeatedSection {
  readonly #read = sectionReader();
  /** Fields of the section kept; null where it is not kept. */
  #headers: CanonicalHeaders | null = null;
  #passed: HeadLines | null = null;
  #token = "";
  #identity: HeadLines | null = null;

  readonly read: ReadSection = (rawHeaders, portDefault, limits) => {
    const section = this.#read(rawHeaders, portDefault, limits);
    const headers = section.kind === "section" && Object.isFrozen(rawHeaders) ? section.headers : null;
    if (headers !== this.#headers) {
      this.#headers = headers;
      this.#passed = null;
    }
    return section;
  };

  /** The caller's fields that go on to the provider, and who we say it is. */
  linesForUpstream(headers: CanonicalHeaders, hopToken: string): readonly HeadLines[] {
    return [this.#passedLines(headers), this.#identityLine(hopToken)];
  }

  #passedLines(headers: CanonicalHeaders): HeadLines {
    if (this.#passed !== null && headers === this.#headers) return this.#passed;
    const lines = new HeadLines(headersPassedUpstream(headers, ours));
    if (headers === this.#headers) this.#passed = lines;
    return lines;
  }

  /** Reads of one caller share a token for a while. */
  #identityLine(hopToken: string): HeadLines {
    if (this.#identity !== null && hopToken === this.#token) return this.#identity;
    this.#token = hopToken;
    this.#identity = new HeadLines(["sallyport-identity", hopToken]);
    return this.#identity;
  }
}
