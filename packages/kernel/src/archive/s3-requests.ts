// Promises signed, bounded requests to one bucket over the guarded dialer, tried again where that is right, and every refusal as a fault that names the fix.
// Trusts the endpoint for nothing but its certificate. Specified in the Amazon S3 API reference; described in docs/archive.md "S3".
import { createHash, randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type ChannelAnswer, type ChannelClient, createChannelClient } from "../dial/channel-client.ts";
import { DialFault } from "../dial/dial-fault.ts";
import type { Dialer } from "../dial/port.ts";
import type { Clock } from "../ports.ts";
import { contentHash } from "./content-hash.ts";
import { ArchiveFault } from "./fault.ts";
import { objectBytesMax } from "./port.ts";
import { canonicalQuery, type S3Credentials, signS3, uriEncode } from "./s3-sign.ts";

export interface S3Place {
  /** `https://host[:port]`; plain http only to a loopback address. Buckets are named in the path. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Empty, or ends with a slash: where in the bucket the archive begins. */
  readonly prefix: string;
  /** The endpoint may stand at a private, loopback or link-local address. */
  readonly allowPrivate: boolean;
  /** PEM roots in place of the public ones. */
  readonly ca?: string;
}

export interface S3RequestsOptions {
  readonly place: S3Place;
  readonly credentials: S3Credentials;
  readonly dialer: Dialer;
  readonly clock: Pick<Clock, "now">;
  /** From the call to the last byte; default 120 s: an object has up to 32 MiB. */
  readonly timeoutMs?: number;
  /** The first pause before another try, doubled each time; default 200 ms. */
  readonly retryDelayMs?: number;
}

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  /** Below the archive's prefix; null: the bucket itself. */
  readonly key: string | null;
  readonly query?: Readonly<Record<string, string>>;
  /** By lower-case name. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface S3Answer {
  readonly status: number;
  readonly header: (name: string) => string | null;
  readonly body: Uint8Array;
  /** `<Code>` of an error document. */
  readonly code: string | null;
}

const connectTimeoutMs = 10_000;
const connectionsMax = 4;
const attemptsMax = 4;
/** XML about an object and its headers beside its bytes. */
const answerBytesMax = objectBytesMax + 1_048_576;
const emptyHash = createHash("sha256").digest("hex");
/** Statuses that say something about the object, and are for the caller to read. */
const tellingStatuses: ReadonlySet<number> = new Set([200, 204, 206, 404, 412, 416]);

export class S3Requests {
  readonly place: string;
  readonly #options: S3RequestsOptions;
  readonly #client: ChannelClient;
  readonly #host: string;

  constructor(options: S3RequestsOptions) {
    const { endpoint, bucket, prefix, allowPrivate, ca } = options.place;
    const url = new URL(endpoint);
    this.place = `${endpoint}/${bucket}/${prefix}`;
    this.#options = options;
    this.#host = url.host;
    const host = url.hostname.replace(/^\[|\]$/g, "");
    this.#client = createChannelClient({
      dialer: options.dialer,
      origin: url.origin,
      rules: { allowPrivateHosts: new Set(allowPrivate ? [host] : []), ownAddresses: new Set() },
      ...(url.protocol === "https:" ? { tls: ca === undefined ? {} : { ca } } : {}),
      connectTimeoutMs,
      connectionsMax,
    });
  }

  /** An answer with a status that says something of the object; every other is a fault. All our requests may be sent twice. */
  async send(request: S3Request): Promise<S3Answer> {
    const { retryDelayMs = 200 } = this.#options;
    const hash = request.body === undefined ? emptyHash : (await contentHash(request.body)).toString("hex");
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#once(request, hash);
      if (!(outcome instanceof ArchiveFault)) return outcome;
      if (!outcome.isPassing || attempt >= attemptsMax) throw outcome;
      const pauseMs = retryDelayMs * 2 ** (attempt - 1);
      await delay(Math.ceil(pauseMs / 2) + randomInt(Math.ceil(pauseMs / 2) + 1));
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #once(request: S3Request, contentHashHex: string): Promise<S3Answer | ArchiveFault> {
    const { credentials, clock, timeoutMs = 120_000 } = this.#options;
    const { bucket, prefix, region } = this.#options.place;
    const { method, key, query = {}, headers = {}, body } = request;
    const path = `/${[bucket, ...(key === null ? [] : `${prefix}${key}`.split("/"))].map(uriEncode).join("/")}`;
    const signed = signS3(
      { method, path, query, host: this.#host, headers, contentHash: contentHashHex },
      { credentials, region, now: clock.now() },
    );
    const search = canonicalQuery(query);
    try {
      const answer = await this.#client.request(search === "" ? path : `${path}?${search}`, {
        method,
        headers: signed,
        ...(body === undefined ? {} : { body }),
        answerBytesMax,
        timeoutMs,
      });
      return this.#judge(answer);
    } catch (error) {
      if (error instanceof DialFault) return this.#dialFault(error);
      throw error;
    }
  }

  #judge({ status, headers, body }: ChannelAnswer): S3Answer | ArchiveFault {
    const code =
      status >= 300 ? (/<Code>([A-Za-z]{1,64})<\/Code>/.exec(Buffer.from(body).toString("latin1"))?.[1] ?? null) : null;
    const header = (name: string): string | null => {
      const value = headers[name];
      return typeof value === "string" ? value : null;
    };
    if (tellingStatuses.has(status) && code !== "NoSuchBucket") return { status, header, body, code };
    const said = `${this.place} answered ${status}${code === null ? "" : ` ${code}`}`;
    if (status >= 500 && status !== 501) return new ArchiveFault("archive-unreachable", said);
    if (status === 429 || status === 409 || code === "RequestTimeout")
      return new ArchiveFault("archive-unreachable", said);
    if (status === 501)
      return new ArchiveFault("archive-unsuitable", `${said}: it does not know what an archive needs of it`);
    if (code === "BadDigest" || code === "XAmzContentSHA256Mismatch")
      return new ArchiveFault("archive-damaged", `${said}: what arrived is not what was sent`);
    return new ArchiveFault("archive-refused", `${said}: ${fixOf(status, code)}`);
  }

  #dialFault(fault: DialFault): ArchiveFault {
    const isRefused = ["address-refused", "tls-untrusted", "pin-mismatch"].includes(fault.code);
    return new ArchiveFault(
      isRefused ? "archive-refused" : "archive-unreachable",
      `${this.place}: ${fault.message}`,
      fault,
    );
  }
}

function fixOf(status: number, code: string | null): string {
  if (code === "RequestTimeTooSkewed") return "the clocks differ by more than 15 minutes: set this machine's";
  if (code === "NoSuchBucket") return "make the bucket, or correct its name";
  if (status >= 300 && status < 400) return "the bucket is in another region or at another endpoint";
  return "check the access key and what it may do with this bucket";
}
