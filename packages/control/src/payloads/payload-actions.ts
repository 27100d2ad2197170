// Promises what operators do about kept payloads: read one, erase a person, use again what a restore locked. Trusts api.ts, which has proven the operator;
// each change is one transaction with its record. Specified in docs/payloads.md and docs/admin-api.md.
import { type Actor, AdminFault } from "../admin/actions.ts";
import type { ControlParts } from "../control-parts.ts";
import { type PayloadReport, readPayload } from "./read-payload.ts";
import type { DataSubject } from "./store.ts";

/** Who is erased: by the value that requests carry, in every environment and year, or by one pseudonym as a record has it. */
export type ErasureOrder =
  | { readonly subject: string; readonly reason: string }
  | { readonly pseudonym: string; readonly environment: string; readonly reason: string };

export interface ErasureReport {
  /** Keys that were destroyed. */
  readonly keys: number;
  /** Under which names; each has its record. */
  readonly subjects: readonly { readonly environment: string; readonly subject: string }[];
}

export interface PayloadActions {
  /** Rejects with AdminFault `not-found`. */
  payload(id: string): Promise<PayloadReport>;
  /** Rejects with AdminFault `conflict`, naming the hold, while one covers any of it. */
  erase(actor: Actor, order: ErasureOrder): Promise<ErasureReport>;
  unlockPayloads(actor: Actor, reason: string): Promise<{ readonly keys: number }>;
}

export function createPayloadActions(parts: ControlParts): PayloadActions {
  const { tenant, store } = parts;
  return {
    payload: (id) => readPayload(parts, id),
    erase: async (actor, order) => {
      const subjects = await subjectsOf(parts, order);
      const outcome = await store.run("erasePayloads", { tenant, subjects, reason: order.reason, actor });
      if (outcome.kind === "erased") return { keys: outcome.keys, subjects };
      const { id, owner } = outcome.by;
      throw new AdminFault(
        "conflict",
        `the legal hold ${id} covers payloads of this data subject: nothing was erased`,
        `ask ${owner}, who answers for it; sallyport audit hold list says what it covers`,
      );
    },
    unlockPayloads: async (actor, reason) => ({
      keys: await store.run("unlockPayloadKeys", { tenant, reason, actor }),
    }),
  };
}

async function subjectsOf(parts: ControlParts, order: ErasureOrder): Promise<readonly Omit<DataSubject, "tenant">[]> {
  if ("pseudonym" in order) return [{ environment: order.environment, subject: order.pseudonym }];
  const { tenant, store, pseudonyms, clock } = parts;
  const year = String(new Date(clock.now()).getUTCFullYear());
  const kept = await store.run("listPayloadEpochs", { tenant });
  // Also where nothing is kept: that it was asked for, and found nothing, is on record.
  const places = [...[...parts.identities.keys()].map((environment) => ({ environment, epoch: year })), ...kept];
  const named = new Map(places.map((place) => [`${place.environment} ${place.epoch}`, place]));
  const subjects: Omit<DataSubject, "tenant">[] = [];
  for (const { environment, epoch } of named.values()) {
    const pseudonymOf =
      epoch === year
        ? await pseudonyms.key(environment).then(() => pseudonyms.ofYear(environment, epoch))
        : await pseudonyms.ofYear(environment, epoch);
    if (pseudonymOf === null)
      throw new AdminFault(
        "conflict",
        `payloads of ${environment} are kept under pseudonyms of ${epoch}, whose key is gone: it cannot be told which are of this data subject`,
        "erase by the pseudonym that a payload record has",
      );
    subjects.push({ environment, subject: pseudonymOf("data-subject", order.subject) });
  }
  return subjects;
}
