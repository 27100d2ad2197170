// Promises an outside witness asked over the guarded dialer: bounded answers, no redirect, no private address but its own host where that is allowed.
// Trusts the verifier key the configuration names. Specified by C2SP tlog-witness; dialling: docs/dial.md.
import { parseWitnessKey, type WitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { originHash } from "@sallyport/protocol/audit/witness-request.ts";
import { createChannelClient } from "../dial/channel-client.ts";
import type { Dialer } from "../dial/port.ts";
import { sha256 } from "../log/log-crypto.ts";
import type { AskedWitness } from "./cosigning.ts";

export interface OutsideWitness {
  /** Submission and monitoring prefix: http or https, no query. */
  readonly url: string;
  /** C2SP verifier key, type 0x04. */
  readonly key: string;
  /** Its host may resolve to a private address. */
  readonly allowPrivate: boolean;
}

/** From a request to the last byte of its answer. */
const answerTimeoutMs = 10_000;
const connectTimeoutMs = 5_000;
/** A cosigned checkpoint with 64 post-quantum lines. */
const answerBytesMax = 524_288;

/** Why this is no witness, or null. Pure. */
export function refuseWitness({ url, key }: Pick<OutsideWitness, "url" | "key">): string | null {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !["https:", "http:"].includes(parsed.protocol)) return `${url} is not an http or https URL`;
  if (parsed.search !== "" || parsed.hash !== "" || parsed.username !== "" || parsed.password !== "")
    return `${url} has more than a scheme, a host and a path`;
  return parseWitnessKey(sha256, key) === null
    ? `${key} is not the verifier key of a witness: <name>+<key id>+<base64> with type 0x04 (Ed25519 cosignatures)`
    : null;
}

/** Throws TypeError for what `refuseWitness` refuses. Close it when it is not asked any more. */
export function openHttpWitness(
  dialer: Dialer,
  outside: OutsideWitness,
  timeoutMs = answerTimeoutMs,
): AskedWitness & { close(): Promise<void> } {
  const key = parseWitnessKey(sha256, outside.key);
  const refusal = refuseWitness(outside);
  if (key === null || refusal !== null) throw new TypeError(refusal ?? "not a witness");
  const url = new URL(outside.url);
  const prefix = url.pathname.replace(/\/+$/, "");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const client = createChannelClient({
    dialer,
    origin: url.origin,
    rules: { allowPrivateHosts: new Set(outside.allowPrivate ? [host] : []), ownAddresses: new Set() },
    connectTimeoutMs,
    connectionsMax: 1,
  });
  const text = (bytes: Uint8Array) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  return {
    name: key.name,
    key: async (): Promise<WitnessKey> => key,
    submit: async (body) => {
      const headers = { "content-type": "text/plain; charset=utf-8" };
      const request = { method: "POST", headers, body, answerBytesMax, timeoutMs } as const;
      const answer = await client.request(`${prefix}/add-checkpoint`, request);
      return { status: answer.status, body: text(answer.body) };
    },
    kept: async (origin) => {
      const path = `${prefix}/${originHash(sha256, origin)}/checkpoint`;
      const answer = await client.request(path, { method: "GET", answerBytesMax, timeoutMs });
      return answer.status === 200 ? text(answer.body) : null;
    },
    close: () => client.close(),
  };
}
