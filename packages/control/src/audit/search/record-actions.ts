// Promises what an operator may do with records: search them, follow them as they come, and have their index made again.
// Trusts api.ts, which has proven the operator and put on record what was asked. Specified in docs/audit-search.md.
import type { ControlParts } from "../../control-parts.ts";
import type { FollowRequest, RecordsRequest } from "./records-request.ts";
import { ask, type RecordsPage, searchRecords } from "./search-actions.ts";
import { followRecords, type Reader } from "./tail.ts";

export interface RecordActions {
  searchRecords(request: RecordsRequest): Promise<RecordsPage>;
  /** Lines of docs/audit-search.md "The tail", as they come. Rejects with AdminFault `too-many` where this operator follows enough already. */
  followRecords(request: FollowRequest, reader: Reader): Promise<ReadableStream<Uint8Array>>;
  rebuildIndex(): Promise<{ readonly rebuilding: true }>;
}

export function recordActions(parts: ControlParts): RecordActions {
  return {
    searchRecords: (request) => searchRecords(parts, request),
    followRecords: (request, reader) => followRecords(parts, request, reader),
    rebuildIndex: async () => {
      await ask(parts, { ask: "rebuild" });
      return { rebuilding: true };
    },
  };
}
