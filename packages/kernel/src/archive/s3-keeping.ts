// Promises that dates and holds of objects in a bucket are only ever extended: by the bucket's own Object Lock in compliance mode, or in a small object
// beside each. Trusts the bucket. Specified in the Amazon S3 API reference (PutObjectRetention, PutObjectLegalHold).
import { contentHash } from "./content-hash.ts";
import { ArchiveFault } from "./fault.ts";
import type { Keeping } from "./port.ts";
import type { S3Answer, S3Requests } from "./s3-requests.ts";

export interface S3Keeping {
  /** Sent with the object, so that it is kept from its first moment. */
  headers(wanted: Keeping): Readonly<Record<string, string>>;
  /** Done before the object is sent. */
  before(name: string, wanted: Keeping): Promise<void>;
  /** `head`: the answer to HEAD. */
  read(name: string, head: S3Answer): Promise<Keeping>;
  extend(name: string, wanted: Keeping, there: Keeping): Promise<void>;
  hold(name: string, held: boolean): Promise<void>;
  /** The object is gone. */
  forget(name: string): Promise<void>;
}

/** Object Lock. A date in compliance mode cannot be taken back by anybody, its bucket's owner included. */
export function lockKeeping(requests: S3Requests): S3Keeping {
  const put = async (name: string, query: string, xml: string): Promise<void> => {
    const body = Buffer.from(xml, "latin1");
    const hash = await contentHash(body);
    const { status } = await requests.send({
      method: "PUT",
      key: name,
      query: { [query]: "" },
      headers: { "x-amz-checksum-sha256": hash.toString("base64"), "x-amz-sdk-checksum-algorithm": "SHA256" },
      body,
    });
    // Nothing there: nothing to keep.
    if (status !== 200 && status !== 404)
      throw new ArchiveFault("archive-refused", `${requests.place} answered ${status} when ${name} was to be kept`);
  };
  const hold = (name: string, held: boolean) =>
    put(name, "legal-hold", `<LegalHold><Status>${held ? "ON" : "OFF"}</Status></LegalHold>`);
  return {
    headers: ({ retainUntil, held }) => ({
      ...(retainUntil === null
        ? {}
        : {
            "x-amz-object-lock-mode": "COMPLIANCE",
            "x-amz-object-lock-retain-until-date": new Date(retainUntil).toISOString(),
          }),
      ...(held ? { "x-amz-object-lock-legal-hold": "ON" } : {}),
    }),
    before: async () => undefined,
    read: async (_name, head) => {
      const until = Date.parse(head.header("x-amz-object-lock-retain-until-date") ?? "");
      return {
        retainUntil: Number.isNaN(until) ? null : until,
        held: head.header("x-amz-object-lock-legal-hold") === "ON",
      };
    },
    extend: async (name, wanted, there) => {
      const { retainUntil } = wanted;
      if (retainUntil !== null && retainUntil > (there.retainUntil ?? 0)) {
        const date = new Date(retainUntil).toISOString();
        await put(
          name,
          "retention",
          `<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>${date}</RetainUntilDate></Retention>`,
        );
      }
      if (wanted.held && !there.held) await hold(name, true);
    },
    hold,
    forget: async () => undefined,
  };
}

const form = /^\{"retainUntil":(null|[0-9]{1,15}),"held":(true|false)\}\n$/;
const none: Keeping = { retainUntil: null, held: false };

/** Where the bucket has no Object Lock: an object under `.keep/`, which is no name of the archive, for each. */
export function sidecarKeeping(requests: S3Requests): S3Keeping {
  const keyOf = (name: string) => `.keep/${name}`;
  const read = async (name: string): Promise<Keeping> => {
    const { status, body } = await requests.send({ method: "GET", key: keyOf(name) });
    if (status === 404) return none;
    const found = form.exec(Buffer.from(body).toString("latin1"));
    // Damage must not free what it should keep.
    if (found === null)
      throw new ArchiveFault(
        "archive-damaged",
        `${keyOf(name)} in ${requests.place} does not say how long its object is kept`,
      );
    return { retainUntil: found[1] === "null" ? null : Number(found[1]), held: found[2] === "true" };
  };
  const write = async (name: string, { retainUntil, held }: Keeping): Promise<void> => {
    const body = Buffer.from(`{"retainUntil":${retainUntil},"held":${held}}\n`, "latin1");
    await requests.send({ method: "PUT", key: keyOf(name), body });
  };
  const extend = async (name: string, wanted: Keeping, there: Keeping): Promise<void> => {
    const retainUntil = Math.max(wanted.retainUntil ?? 0, there.retainUntil ?? 0) || null;
    const held = wanted.held || there.held;
    if (retainUntil !== there.retainUntil || held !== there.held) await write(name, { retainUntil, held });
  };
  return {
    headers: () => ({}),
    before: async (name, wanted) => extend(name, wanted, await read(name)),
    read: (name) => read(name),
    extend,
    hold: async (name, held) => write(name, { ...(await read(name)), held }),
    forget: async (name) => void (await requests.send({ method: "DELETE", key: keyOf(name) })),
  };
}
