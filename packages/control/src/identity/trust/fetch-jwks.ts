// Promises one bounded GET of a key set over the guarded dialer: https, no redirect, no cookie, no answer beyond its size or time.
// Trusts the configuration for where to go and whose certificate to expect. docs/dial.md, docs/identity/outside-issuers.md.
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import { jwksBytesMax } from "@sallyport/protocol/token/outside-jwk.ts";
import { dialPlace, type OutsidePlace } from "../dial-once.ts";

export const fetchTimeoutMs = 5_000;

/** The bytes of a key set; rejects with the reason, which never holds what the other side sent. */
export type FetchJwks = (place: OutsidePlace) => Promise<Uint8Array>;

const types = /^application\/(?:json|jwk-set\+json)(?:\s*;.*)?$/i;

export const createFetchJwks =
  (dialer: Dialer): FetchJwks =>
  async (place) => {
    const { status, headers, body } = await dialPlace(dialer, place, {
      method: "GET",
      headers: { accept: "application/jwk-set+json, application/json" },
      answerBytesMax: jwksBytesMax,
      timeoutMs: fetchTimeoutMs,
    });
    if (status !== 200) throw new Error(`the key set was answered with ${status}`);
    if (!types.test(String(headers["content-type"] ?? ""))) throw new Error("the key set is not declared as JSON");
    return body;
  };
