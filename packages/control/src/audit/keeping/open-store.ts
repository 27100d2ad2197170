// Promises the archive store of a configuration, opened; the code of a back-end is loaded only when it is the one that is named.
// Trusts the configuration for the place. Described in docs/archive.md.
import type { ArchiveStore } from "@sallyport/kernel/archive/port.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { StorePlaceConfig } from "./store-file.ts";

/** Rejects with ArchiveFault. */
export async function openArchiveStore(place: StorePlaceConfig, clock: Pick<Clock, "now">): Promise<ArchiveStore> {
  switch (place.kind) {
    case "directory": {
      const { openDirectoryArchive } = await import("@sallyport/kernel/archive/directory.ts");
      return openDirectoryArchive({ directory: place.directory, clock });
    }
    case "postgres": {
      const { openPostgresArchive } = await import("@sallyport/kernel/archive/postgres.ts");
      const url = place.url.use((bytes) => Buffer.from(bytes).toString("utf8"));
      return openPostgresArchive({ url, schema: place.schema, clock });
    }
    case "s3": {
      const { openS3Archive } = await import("@sallyport/kernel/archive/s3.ts");
      const { endpoint, region, bucket, prefix, allowPrivate, ca, accessKeyId, secretAccessKey, sessionToken } = place;
      return openS3Archive({
        place: { endpoint, region, bucket, prefix, allowPrivate, ...(ca === null ? {} : { ca }) },
        credentials: { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) },
        dialer: createDialer(),
        clock,
        objectLock: place.objectLock,
      });
    }
    default: {
      const never: never = place;
      return never;
    }
  }
}

/** Where it is, for people; without a credential. */
export function placeWords(place: StorePlaceConfig): string {
  switch (place.kind) {
    case "directory":
      return place.directory;
    case "postgres":
      return `PostgreSQL schema ${place.schema}`;
    case "s3":
      return `${place.endpoint}/${place.bucket}/${place.prefix}`;
    default: {
      const never: never = place;
      return never;
    }
  }
}
