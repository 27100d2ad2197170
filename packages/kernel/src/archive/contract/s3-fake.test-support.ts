// For tests: a bucket on loopback that keeps to what S3 says of signatures, conditions, checksums, versions and Object Lock, and that can be told to fail.
// It shares no code with the client. Specified in the Amazon S3 API reference and "Signature Calculations for the Authorization Header".
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface FakeVersion {
  readonly id: string;
  readonly bytes: Buffer;
  readonly isDeleteMarker: boolean;
  retainUntil: number | null;
  held: boolean;
}

/** What happens to the next requests, one each: before or after they were carried out. */
export type FakeFault =
  | "none"
  | "503"
  | "slow-down"
  | "torn-before"
  | "torn-after"
  | "silent"
  | "half-answer"
  | "conflict";

export interface FakeS3Options {
  readonly objectLock: boolean;
  readonly now: number;
  /** Keys of one page of a list. */
  readonly pageMax?: number;
}

interface Asked {
  readonly method: string;
  readonly rawPath: string;
  readonly key: string | null;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

const bucket = "sallyport-archive";
const region = "eu-test-1";
const skewMsMax = 15 * 60_000;
const error = (status: number, code: string): Answer => ({
  status,
  body: Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${code}</Message></Error>`,
  ),
});

export class FakeS3 {
  endpoint = "";
  readonly bucket = bucket;
  readonly region = region;
  /** Method, key and query of every request that was carried out or refused. */
  readonly seen: string[] = [];
  /** What befalls the next requests, one each. */
  readonly faults: FakeFault[] = [];
  /** Ignores If-None-Match and If-Match, as old servers do. */
  ignoreConditions = false;
  readonly #keys = new Map<string, FakeVersion[]>();
  readonly options: FakeS3Options;
  readonly accessKeyId = `AK${randomBytes(8).toString("hex").toUpperCase()}`;
  readonly secretAccessKey = randomBytes(20).toString("base64");
  now: number;

  close: () => Promise<void> = async () => undefined;

  constructor(options: FakeS3Options) {
    this.options = options;
    this.now = options.now;
  }

  /** Of a key, the newest last. */
  versions(key: string): FakeVersion[] {
    return this.#keys.get(key) ?? [];
  }

  /** Puts an object the way somebody else with the key of the bucket would. */
  plant(
    key: string,
    bytes: Uint8Array,
    kept: Pick<FakeVersion, "retainUntil" | "held"> = { retainUntil: null, held: false },
  ): FakeVersion {
    const version = { id: randomBytes(12).toString("hex"), bytes: Buffer.from(bytes), isDeleteMarker: false, ...kept };
    // Without versions the object before is gone.
    this.#keys.set(key, [...(this.options.objectLock ? this.versions(key) : []), version]);
    return version;
  }

  handle(asked: Asked): Answer {
    const refused = this.#refuseSignature(asked) ?? this.#refuseContent(asked);
    if (refused !== null) return refused;
    if (asked.rawPath.split("/")[1] !== bucket) return error(404, "NoSuchBucket");
    if (asked.key === null) return this.#onBucket(asked);
    if (asked.query.has("retention")) return this.#retention(asked, asked.key);
    if (asked.query.has("legal-hold")) return this.#legalHold(asked, asked.key);
    switch (asked.method) {
      case "PUT":
        return this.#put(asked, asked.key);
      case "GET":
      case "HEAD":
        return this.#get(asked, asked.key);
      case "DELETE":
        return this.#delete(asked, asked.key);
      default:
        return error(405, "MethodNotAllowed");
    }
  }

  #refuseSignature({ method, rawPath, query, headers }: Asked): Answer | null {
    const parts =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request,\s*SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{64})$/.exec(
        headers.authorization ?? "",
      );
    if (parts === null) return error(403, "AccessDenied");
    const [, id = "", day = "", scope = "", names = "", signature = ""] = parts;
    if (id !== this.accessKeyId) return error(403, "InvalidAccessKeyId");
    if (scope !== region) return error(400, "AuthorizationHeaderMalformed");
    const date = String(headers["x-amz-date"] ?? "");
    const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
    if (Number.isNaN(at) || !date.startsWith(day)) return error(403, "AccessDenied");
    if (Math.abs(at - this.now) > skewMsMax) return error(403, "RequestTimeTooSkewed");
    const signed = names.split(";");
    // Host and every x-amz-* that is sent must be signed.
    const due = Object.keys(headers).filter((name) => name === "host" || name.startsWith("x-amz-"));
    if (due.some((name) => !signed.includes(name))) return error(403, "AccessDenied");
    const pairs = [...query].map(([name, value]) => `${strict(name)}=${strict(value)}`).sort();
    const canonical = `${method}\n${rawPath}\n${pairs.join("&")}\n${signed
      .map((name) => `${name}:${String(headers[name] ?? "").trim()}\n`)
      .join("")}\n${names}\n${String(headers["x-amz-content-sha256"])}`;
    const hashed = createHash("sha256").update(canonical).digest("hex");
    const toSign = ["AWS4-HMAC-SHA256", date, `${day}/${scope}/s3/aws4_request`, hashed].join("\n");
    let key: Buffer = Buffer.from(`AWS4${this.secretAccessKey}`);
    for (const step of [day, scope, "s3", "aws4_request"]) key = createHmac("sha256", key).update(step).digest();
    const expected = createHmac("sha256", key).update(toSign).digest();
    return timingSafeEqual(expected, Buffer.from(signature, "hex")) ? null : error(403, "SignatureDoesNotMatch");
  }

  #refuseContent({ headers, body }: Asked): Answer | null {
    const sha256 = createHash("sha256").update(body).digest();
    if (headers["x-amz-content-sha256"] !== sha256.toString("hex")) return error(400, "XAmzContentSHA256Mismatch");
    const checksum = headers["x-amz-checksum-sha256"];
    return checksum === undefined || checksum === sha256.toString("base64") ? null : error(400, "BadDigest");
  }

  #onBucket({ method, query }: Asked): Answer {
    if (method === "HEAD") return { status: 200 };
    if (query.has("object-lock"))
      return this.options.objectLock
        ? xml("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>")
        : error(404, "ObjectLockConfigurationNotFoundError");
    if (query.get("list-type") !== "2") return error(501, "NotImplemented");
    const prefix = query.get("prefix") ?? "";
    const after = query.get("start-after") ?? "";
    const max = Math.min(Number(query.get("max-keys") ?? 1_000), this.options.pageMax ?? 1_000);
    const keys = [...this.#keys.keys()]
      .filter((key) => key.startsWith(prefix) && key > after && this.#newest(key) !== null)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const contents = keys
      .slice(0, max)
      .map(
        (key) =>
          `<Contents><Key>${key}</Key><LastModified>2026-11-30T00:00:00.000Z</LastModified><Size>${this.#newest(key)?.bytes.length}</Size></Contents>`,
      );
    return xml(
      `<ListBucketResult><IsTruncated>${keys.length > max}</IsTruncated>${contents.join("")}</ListBucketResult>`,
    );
  }

  #newest(key: string): FakeVersion | null {
    const newest = this.versions(key).at(-1);
    return newest === undefined || newest.isDeleteMarker ? null : newest;
  }

  #put({ headers, body }: Asked, key: string): Answer {
    const there = this.#newest(key);
    if (!this.ignoreConditions) {
      if (headers["if-none-match"] === "*" && there !== null) return error(412, "PreconditionFailed");
      if (headers["if-match"] !== undefined && there === null) return error(404, "NoSuchKey");
      if (headers["if-match"] !== undefined && headers["if-match"] !== etag(there))
        return error(412, "PreconditionFailed");
    }
    const mode = headers["x-amz-object-lock-mode"];
    const hold = headers["x-amz-object-lock-legal-hold"];
    const until = Date.parse(String(headers["x-amz-object-lock-retain-until-date"] ?? ""));
    if (mode !== undefined || hold !== undefined) {
      if (!this.options.objectLock) return error(400, "InvalidRequest");
      if (headers["content-md5"] === undefined && headers["x-amz-checksum-sha256"] === undefined)
        return error(400, "InvalidRequest");
      if (mode !== undefined && (mode !== "COMPLIANCE" || Number.isNaN(until) || until <= this.now))
        return error(400, "InvalidArgument");
    }
    const version = this.plant(key, body, { retainUntil: mode === undefined ? null : until, held: hold === "ON" });
    return { status: 200, headers: { etag: etag(version), ...this.#versionHeader(version) } };
  }

  #versionHeader({ id }: FakeVersion): Readonly<Record<string, string>> {
    return this.options.objectLock ? { "x-amz-version-id": id } : {};
  }

  #get({ method, headers }: Asked, key: string): Answer {
    const found = this.#newest(key);
    if (found === null) return method === "HEAD" ? { status: 404 } : error(404, "NoSuchKey");
    const checksum =
      headers["x-amz-checksum-mode"] === "ENABLED"
        ? { "x-amz-checksum-sha256": createHash("sha256").update(found.bytes).digest("base64") }
        : {};
    const answered = {
      etag: etag(found),
      ...checksum,
      ...this.#versionHeader(found),
      ...(found.retainUntil === null
        ? {}
        : {
            "x-amz-object-lock-mode": "COMPLIANCE",
            "x-amz-object-lock-retain-until-date": new Date(found.retainUntil).toISOString(),
          }),
      ...(found.held ? { "x-amz-object-lock-legal-hold": "ON" } : {}),
    };
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "");
    if (range === null) return { status: 200, headers: answered, body: found.bytes };
    const from = Number(range[1]);
    if (from >= found.bytes.length) return error(416, "InvalidRange");
    return { status: 206, headers: answered, body: found.bytes.subarray(from, Number(range[2]) + 1) };
  }

  #delete({ query }: Asked, key: string): Answer {
    const id = query.get("versionId");
    const versions = this.versions(key);
    if (!this.options.objectLock) {
      this.#keys.delete(key);
      return { status: 204 };
    }
    if (id === null) {
      // Hides what is there; no lock stands in the way of that.
      const marker = {
        id: randomBytes(12).toString("hex"),
        bytes: Buffer.alloc(0),
        isDeleteMarker: true,
        retainUntil: null,
        held: false,
      };
      this.#keys.set(key, [...versions, marker]);
      return { status: 204, headers: { "x-amz-delete-marker": "true" } };
    }
    const target = versions.find((version) => version.id === id);
    if (target === undefined) return { status: 204 };
    if (target.held || (target.retainUntil !== null && target.retainUntil > this.now))
      return error(403, "AccessDenied");
    this.#keys.set(
      key,
      versions.filter((version) => version !== target),
    );
    return { status: 204 };
  }

  #retention({ method, body, headers }: Asked, key: string): Answer {
    const found = this.#newest(key);
    if (method !== "PUT" || !this.options.objectLock) return error(400, "InvalidRequest");
    if (found === null) return error(404, "NoSuchKey");
    if (headers["content-md5"] === undefined && headers["x-amz-checksum-sha256"] === undefined)
      return error(400, "InvalidRequest");
    const text = body.toString("utf8");
    const until = Date.parse(/<RetainUntilDate>([^<]+)<\/RetainUntilDate>/.exec(text)?.[1] ?? "");
    if (!text.includes("<Mode>COMPLIANCE</Mode>") || Number.isNaN(until)) return error(400, "MalformedXML");
    // In compliance mode a date only ever moves away.
    if (found.retainUntil !== null && until < found.retainUntil) return error(403, "AccessDenied");
    found.retainUntil = until;
    return { status: 200 };
  }

  #legalHold({ method, body }: Asked, key: string): Answer {
    const found = this.#newest(key);
    if (method !== "PUT" || !this.options.objectLock) return error(400, "InvalidRequest");
    if (found === null) return error(404, "NoSuchKey");
    const status = /<Status>(ON|OFF)<\/Status>/.exec(body.toString("utf8"))?.[1];
    if (status === undefined) return error(400, "MalformedXML");
    found.held = status === "ON";
    return { status: 200 };
  }
}

const strict = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
const etag = (version: FakeVersion | null): string =>
  version === null ? "" : `"${createHash("md5").update(version.bytes).digest("hex")}"`;
const xml = (text: string): Answer => ({
  status: 200,
  headers: { "content-type": "application/xml" },
  body: Buffer.from(text),
});

/** Starts one on a port of its own. */
export async function startFakeS3(options: FakeS3Options): Promise<FakeS3> {
  const fake = new FakeS3(options);
  const server = createServer((request, response) => {
    void serve(fake, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  fake.endpoint = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  fake.close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return fake;
}

async function serve(fake: FakeS3, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { method = "", url = "/", headers } = request;
  const [rawPath = "/", search = ""] = url.split("?");
  const key = rawPath.split("/").slice(2).map(decodeURIComponent).join("/");
  fake.seen.push(`${method} ${key}${search === "" ? "" : `?${search}`}`);
  const fault = fake.faults.shift();
  if (fault === "silent") return;
  if (fault === "torn-before") return void request.socket.destroy();
  const answer =
    fault === "503"
      ? error(503, "InternalError")
      : fault === "slow-down"
        ? error(503, "SlowDown")
        : fault === "conflict"
          ? error(409, "ConditionalRequestConflict")
          : fake.handle({
              method,
              rawPath,
              key: key === "" ? null : key,
              query: new URLSearchParams(search),
              headers,
              body: Buffer.concat(chunks),
            });
  if (fault === "torn-after") return void request.socket.destroy();
  const body = answer.body ?? Buffer.alloc(0);
  response.writeHead(answer.status, { ...answer.headers, "content-length": body.length });
  if (fault === "half-answer") {
    response.write(body.subarray(0, body.length >> 1), () => request.socket.destroy());
    return;
  }
  response.end(method === "HEAD" ? undefined : body);
}
