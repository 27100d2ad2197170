// Promises the place of the archive store, read from a file that is its owner's alone, because it holds the store's credentials.
// Trusts nothing in it: an unknown key is an error, and no message repeats a value. Specified in docs/archive.md "The file".

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { classifyAddress } from "@sallyport/kernel/dial/decide-dial.ts";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { Secret } from "@sallyport/kernel/seal/secret.ts";
import { parse } from "yaml";
import { z } from "zod";
import { duration } from "../../registry/config/words.ts";

const fileBytesMax = 65_536;
const yearsMax = 100;

/** `message` says what is wrong with the file, `fix` what to write. */
export class StoreFileFault extends Error {
  override readonly name = "StoreFileFault";
  readonly fix: string;

  constructor(message: string, fix: string) {
    super(message);
    this.fix = fix;
  }
}

export type StorePlaceConfig =
  | { readonly kind: "directory"; readonly directory: string }
  | { readonly kind: "postgres"; readonly url: Secret; readonly schema: string }
  | {
      readonly kind: "s3";
      readonly endpoint: string;
      readonly region: string;
      readonly bucket: string;
      readonly prefix: string;
      readonly objectLock: "compliance" | "none";
      readonly allowPrivate: boolean;
      /** PEM. */
      readonly ca: string | null;
      readonly accessKeyId: string;
      readonly secretAccessKey: Secret;
      readonly sessionToken: Secret | null;
    };

export interface ArchiveStoreConfig {
  readonly place: StorePlaceConfig;
  /** How long records may lie here alone before they are archived. */
  readonly everyMs: number;
  /** Whole years after the end of a log's own year. */
  readonly retentionYears: number;
}

const text = (max: number) => z.string().min(1).max(max);
const years = z
  .string()
  .regex(/^[1-9][0-9]{0,2}y$/, "write whole years, for example 7y")
  .transform((value) => Number(value.slice(0, -1)))
  .refine((value) => value <= yearsMax, `at most ${yearsMax}y`);

const s3 = z.strictObject({
  endpoint: z.string().refine(isEndpoint, "write https://host or https://host:port; http only to a loopback address"),
  region: z.string().regex(/^[a-z0-9-]{1,64}$/),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "the name of a bucket: small letters, digits, `.` and `-`"),
  prefix: z
    .string()
    .regex(/^(?:[a-z0-9][a-z0-9.-]*\/){1,8}$/, "small letters, digits, `.` and `-`, ending with a slash")
    .default("sallyport/"),
  objectLock: z.enum(["compliance", "none"]),
  allowPrivate: z.boolean().default(false),
  ca: text(4_096).optional(),
  accessKeyId: text(256),
  secretAccessKey: text(1_024),
  sessionToken: text(8_192).optional(),
});
const file = z
  .strictObject({
    directory: text(4_096).optional(),
    postgres: z
      .strictObject({
        url: text(4_096),
        schema: z
          .string()
          .regex(/^[a-z][a-z0-9_]{0,62}$/)
          .default("sallyport_archive"),
      })
      .optional(),
    s3: s3.optional(),
    every: duration({ minMs: 10_000, maxMs: 86_400_000, says: "`10s` to `24h`" }).prefault("15m"),
    retention: years.prefault("7y"),
  })
  .refine(
    ({ directory, postgres, s3: bucket }) =>
      [directory, postgres, bucket].filter((one) => one !== undefined).length === 1,
    "name exactly one of `directory`, `postgres` and `s3`",
  );

function isEndpoint(value: string): boolean {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || url.origin !== value) return false;
  const isLoopback = classifyAddress(url.hostname.replace(/^\[|\]$/g, "")) === "loopback";
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopback);
}

/** Reads and judges the file. Throws StoreFileFault; faults of the file itself say what they are. */
export function readStoreFile(path: string): ArchiveStoreConfig {
  const bytes = readBytes(path);
  const parsed = file.safeParse(parseYaml(path, Buffer.from(bytes).toString("utf8")));
  bytes.fill(0);
  if (!parsed.success) {
    // The path of the key and our own words: never what stands there.
    const [issue] = parsed.error.issues;
    const key = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")}: `;
    throw new StoreFileFault(
      `${path}: ${key}${issue?.message ?? "not the place of an archive store"}`,
      "docs/archive.md shows each form of this file",
    );
  }
  const { directory, postgres, s3: bucket, every, retention } = parsed.data;
  const rest = { everyMs: every, retentionYears: retention };
  if (directory !== undefined)
    return { place: { kind: "directory", directory: resolve(dirname(path), directory) }, ...rest };
  if (postgres !== undefined)
    return { place: { kind: "postgres", url: Secret.fromText(postgres.url), schema: postgres.schema }, ...rest };
  if (bucket === undefined) throw new StoreFileFault(`${path} names no place`, "name `directory`, `postgres` or `s3`");
  const { ca, secretAccessKey, sessionToken, ...open } = bucket;
  return {
    place: {
      kind: "s3",
      ...open,
      ca: ca === undefined ? null : readRoots(resolve(dirname(path), ca)),
      secretAccessKey: Secret.fromText(secretAccessKey),
      sessionToken: sessionToken === undefined ? null : Secret.fromText(sessionToken),
    },
    ...rest,
  };
}

function readBytes(path: string): Uint8Array {
  const bytes = readPrivateFile(path, fileBytesMax);
  if (bytes === null) throw new StoreFileFault(`there is no file ${path}`, "docs/archive.md shows what stands in it");
  return bytes;
}

function parseYaml(path: string, content: string): unknown {
  try {
    return parse(content, { maxAliasCount: 0, strict: true, uniqueKeys: true });
  } catch {
    // The parser's own words quote the line.
    throw new StoreFileFault(`${path} is not YAML`, "docs/archive.md shows each form of this file");
  }
}

function readRoots(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw new StoreFileFault(`${path}, named as s3.ca, cannot be read`, "name a PEM file");
  }
}
