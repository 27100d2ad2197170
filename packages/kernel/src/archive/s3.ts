// Promises an archive in a bucket that speaks S3: created with If-None-Match, swapped with If-Match, and with Object Lock kept by the place itself.
// Trusts the bucket's word for conditions and locks, which openS3Archive tries first; its bytes are held against a checksum. Described in docs/archive.md "S3".

import { contentHash } from "./content-hash.ts";
import { ArchiveFault } from "./fault.ts";
import {
  type ArchivedObject,
  type ArchiveStore,
  assertContent,
  assertName,
  assertPrefix,
  isArchiveName,
  type Keeping,
  type ListedObject,
  listMax,
} from "./port.ts";
import { lockKeeping, type S3Keeping, sidecarKeeping } from "./s3-keeping.ts";
import { type S3Answer, S3Requests, type S3RequestsOptions } from "./s3-requests.ts";

export interface S3ArchiveOptions extends S3RequestsOptions {
  /** `compliance`: the bucket has Object Lock, and nobody removes what is retained. `none`: this program alone keeps it. */
  readonly objectLock: "compliance" | "none";
}

/** Versions of one object that are removed, and pages of names that are none of ours. */
const roundsMax = 100;
const probeName = "probe";

/** Opens an archive in a bucket, once it has shown that it honours conditions and, where asked, Object Lock. Rejects with ArchiveFault. */
export async function openS3Archive(options: S3ArchiveOptions): Promise<ArchiveStore> {
  const requests = new S3Requests(options);
  try {
    if (options.objectLock === "compliance") await assertObjectLock(requests);
    await assertConditions(requests);
  } catch (error) {
    await requests.close();
    throw error;
  }
  const keeping = options.objectLock === "compliance" ? lockKeeping(requests) : sidecarKeeping(requests);
  const bucket = new Bucket(requests, keeping, options);
  return {
    kind: "s3",
    place: requests.place,
    put: (name, bytes, wanted) => bucket.put(name, bytes, wanted),
    get: (name, range) => bucket.get(name, range),
    stat: (name) => bucket.stat(name),
    list: (query) => bucket.list(query),
    swap: (name, change) => bucket.swap(name, change),
    retain: (name, until) => bucket.retain(name, until),
    hold: async (name, held) => {
      assertName(name);
      await keeping.hold(name, held);
    },
    remove: (name) => bucket.remove(name),
    health: async () => {
      await requests.send({ method: "HEAD", key: null });
      return { freeBytes: null, keptBy: options.objectLock === "compliance" ? "place" : "program" };
    },
    close: () => requests.close(),
  };
}

async function assertObjectLock(requests: S3Requests): Promise<void> {
  const { status, body } = await requests.send({ method: "GET", key: null, query: { "object-lock": "" } });
  if (status === 200 && Buffer.from(body).includes("<ObjectLockEnabled>Enabled</ObjectLockEnabled>")) return;
  throw new ArchiveFault(
    "archive-unsuitable",
    `${requests.place} has no Object Lock: make a bucket with it, or say objectLock: none and let Sallyport alone keep what is retained`,
  );
}

/** A place that ignores conditions would write over what is archived, and say yes to two logs at once. */
async function assertConditions(requests: S3Requests): Promise<void> {
  const body = Buffer.from("sallyport archive\n");
  const put = (headers: Readonly<Record<string, string>>) =>
    requests.send({ method: "PUT", key: probeName, headers, body });
  await put({ "if-none-match": "*" });
  const again = await put({ "if-none-match": "*" });
  const other = await put({ "if-match": '"00000000000000000000000000000000"' });
  if (again.status === 412 && other.status === 412) return;
  throw new ArchiveFault(
    "archive-unsuitable",
    `${requests.place} does not honour If-None-Match and If-Match on writes, so it would write over what is archived: use a server that does`,
  );
}

class Bucket {
  readonly #requests: S3Requests;
  readonly #keeping: S3Keeping;
  readonly #options: S3ArchiveOptions;

  constructor(requests: S3Requests, keeping: S3Keeping, options: S3ArchiveOptions) {
    this.#requests = requests;
    this.#keeping = keeping;
    this.#options = options;
  }

  async put(name: string, bytes: Uint8Array, wanted: Keeping): Promise<"stored" | "same"> {
    assertName(name);
    assertContent(bytes);
    await this.#keeping.before(name, wanted);
    const hash = await contentHash(bytes);
    const { status } = await this.#requests.send({
      method: "PUT",
      key: name,
      headers: { ...checksumHeaders(hash), ...this.#keeping.headers(wanted), "if-none-match": "*" },
      body: bytes,
    });
    if (status === 200) return "stored";
    if (status !== 412) throw this.#unexpected(status, name);
    const there = await this.stat(name);
    if (there === null)
      throw new ArchiveFault("archive-unreachable", `${name} in ${this.#requests.place} came and went`);
    if (there.sha256 !== hash.toString("hex"))
      throw new ArchiveFault(
        "archive-differs",
        `${name} in ${this.#requests.place} holds other bytes than those to be archived under this name; it was left as it is. Two logs archive under one name, or the object was changed: sallyport audit fetch and audit verify say which`,
      );
    await this.#keeping.extend(name, wanted, there);
    return "same";
  }

  async get(name: string, range?: { readonly from: number; readonly length: number }): Promise<Uint8Array | null> {
    assertName(name);
    if (range?.length === 0) return (await this.#head(name)) === null ? null : new Uint8Array(0);
    const headers: Record<string, string> =
      range === undefined ? {} : { range: `bytes=${range.from}-${range.from + range.length - 1}` };
    const { status, body } = await this.#requests.send({ method: "GET", key: name, headers });
    if (status === 404) return null;
    // RFC 9110 §15.5.17: the range begins at or after the end.
    if (status === 416) return new Uint8Array(0);
    // Who ignores the range sends the whole.
    if (status === 200 && range !== undefined) return body.subarray(range.from, range.from + range.length);
    if (status === 200 || status === 206) return body;
    throw this.#unexpected(status, name);
  }

  async stat(name: string): Promise<ArchivedObject | null> {
    assertName(name);
    const head = await this.#head(name);
    if (head === null) return null;
    const kept = await this.#keeping.read(name, head);
    const checksum = Buffer.from(head.header("x-amz-checksum-sha256") ?? "", "base64");
    const length = Number(head.header("content-length"));
    if (checksum.length === 32) return { bytes: length, sha256: checksum.toString("hex"), ...kept };
    // A place without checksums, or an object that others put there: its bytes say.
    const bytes = await this.get(name);
    if (bytes === null) return null;
    return { bytes: bytes.length, sha256: (await contentHash(bytes)).toString("hex"), ...kept };
  }

  async list({ prefix, after = "", max }: Parameters<ArchiveStore["list"]>[0]): Promise<readonly ListedObject[]> {
    assertPrefix(prefix);
    const root = this.#options.place.prefix;
    const found: ListedObject[] = [];
    let mark = after;
    for (let round = 0; round < roundsMax; round += 1) {
      const { body } = await this.#requests.send({
        method: "GET",
        key: null,
        query: {
          "list-type": "2",
          "max-keys": String(Math.min(max, listMax)),
          prefix: `${root}${prefix}`,
          ...(mark === "" ? {} : { "start-after": `${root}${mark}` }),
        },
      });
      const page = parseListing(Buffer.from(body).toString("utf8"), root);
      for (const { name, bytes } of page.objects)
        if (found.length < max && isArchiveName(name) && name !== probeName) found.push({ name, bytes });
      const last = page.objects.at(-1)?.name;
      // A page of names that are none of ours is not the end.
      if (!page.isTruncated || found.length > 0 || last === undefined) return found;
      mark = last;
    }
    throw new ArchiveFault(
      "archive-refused",
      `${this.#requests.place} is full of other objects: give the archive a prefix of its own`,
    );
  }

  async swap(name: string, { expected, next }: Parameters<ArchiveStore["swap"]>[1]): Promise<boolean> {
    assertName(name);
    assertContent(next);
    const found = await this.#requests.send({ method: "GET", key: name });
    const there = found.status === 200 ? Buffer.from(found.body) : null;
    if (there === null || expected === null ? there !== expected : !there.equals(expected)) return false;
    const etag = found.header("etag");
    if (there !== null && etag === null) throw this.#unexpected(found.status, name);
    const { status } = await this.#requests.send({
      method: "PUT",
      key: name,
      headers: {
        ...checksumHeaders(await contentHash(next)),
        ...(etag === null || there === null ? { "if-none-match": "*" } : { "if-match": etag }),
      },
      body: next,
    });
    if (status === 200) return true;
    // Also what a second try meets when only the answer to the first was lost.
    const now = await this.get(name);
    return now !== null && Buffer.from(now).equals(next);
  }

  async retain(name: string, until: number): Promise<void> {
    assertName(name);
    const there = await this.stat(name);
    if (there !== null) await this.#keeping.extend(name, { retainUntil: until, held: false }, there);
  }

  /** Every version: a plain delete in a bucket with versions would only hide the object. */
  async remove(name: string): Promise<"removed" | "absent"> {
    assertName(name);
    for (let round = 0; round < roundsMax; round += 1) {
      const head = await this.#head(name);
      if (head === null) {
        if (round > 0) await this.#keeping.forget(name);
        return round === 0 ? "absent" : "removed";
      }
      const { retainUntil, held } = await this.#keeping.read(name, head);
      if (held) throw new ArchiveFault("archive-held", `${name} in ${this.#requests.place} is under a legal hold`);
      if (retainUntil !== null && retainUntil > this.#options.clock.now())
        throw new ArchiveFault(
          "archive-retained",
          `${name} in ${this.#requests.place} is retained until ${new Date(retainUntil).toISOString()}`,
        );
      const version = head.header("x-amz-version-id");
      await this.#requests.send({
        method: "DELETE",
        key: name,
        query: version === null ? {} : { versionId: version },
      });
    }
    throw new ArchiveFault("archive-refused", `${name} in ${this.#requests.place} has more than ${roundsMax} versions`);
  }

  async #head(name: string): Promise<S3Answer | null> {
    const answer = await this.#requests.send({
      method: "HEAD",
      key: name,
      headers: { "x-amz-checksum-mode": "ENABLED" },
    });
    if (answer.status === 404) return null;
    if (answer.status === 200) return answer;
    throw this.#unexpected(answer.status, name);
  }

  #unexpected(status: number, name: string): ArchiveFault {
    return new ArchiveFault(
      "archive-refused",
      `${this.#requests.place} answered ${status} for ${name}, which means nothing here`,
    );
  }
}

function checksumHeaders(hash: Buffer): Readonly<Record<string, string>> {
  return { "x-amz-checksum-sha256": hash.toString("base64"), "x-amz-sdk-checksum-algorithm": "SHA256" };
}

interface Listing {
  readonly isTruncated: boolean;
  /** With whatever name they have. */
  readonly objects: readonly ListedObject[];
}

/** ListObjectsV2. Our names need no XML entities; what has one is none of ours. */
function parseListing(xml: string, root: string): Listing {
  if (!xml.includes("<ListBucketResult")) throw new ArchiveFault("archive-refused", "the answer to a listing is none");
  const objects = [...xml.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)].flatMap(([, content = ""]) => {
    const key = /<Key>([^<]*)<\/Key>/.exec(content)?.[1] ?? "";
    const bytes = Number(/<Size>(\d{1,15})<\/Size>/.exec(content)?.[1] ?? Number.NaN);
    return key.startsWith(root) && Number.isSafeInteger(bytes) ? [{ name: key.slice(root.length), bytes }] : [];
  });
  return { isTruncated: xml.includes("<IsTruncated>true</IsTruncated>"), objects };
}
