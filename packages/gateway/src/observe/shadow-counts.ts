// Promises counts of what policies in shadow would have changed, by policy, operation and caller, in a bounded table. Holds pseudonyms as the leaves do.
// Trusts the exchange for ids that were declared. Specified in docs/policy.md "Shadow policies".
import { type ObservedShadow, observedShadowsMax } from "@sallyport/protocol/channel/messages.ts";
import type { Exchange } from "../exchange.ts";
import type { Recorder } from "../record/recorder.ts";
import { countSince, type Seen, see, unseen } from "./seen.ts";

type Named = Omit<ObservedShadow, "count" | "firstMs" | "lastMs" | "examples">;
export type CountedShadow = Named & Seen;

export class ShadowCounts {
  readonly #groups = new Map<string, CountedShadow>();
  #uncounted = 0;

  /** Verdicts that found no room. */
  get uncounted(): number {
    return this.#uncounted;
  }

  count(
    { shadow, threats, operation, principal, id }: Exchange,
    { recorder, nowMs }: { readonly recorder: Pick<Recorder, "pseudonym">; readonly nowMs: number },
  ): void {
    if (operation === null || principal === null) return;
    const caller = recorder.pseudonym("caller", principal.caller);
    const watched = (threats ?? []).map(({ rule }) => ({ policy: `threat:${rule}`, would: "deny" as const }));
    for (const { policy, would } of [...(shadow ?? []), ...watched]) {
      const named = { policy, would, operation: operation.fullName, caller };
      const key = keyOf(named);
      const known = this.#groups.get(key);
      if (known === undefined && this.#groups.size >= observedShadowsMax) {
        this.#uncounted++;
        continue;
      }
      const group = known ?? { ...named, ...unseen(nowMs) };
      this.#groups.set(key, group);
      see(group, { id, nowMs });
    }
  }

  since(sinceMs: number): readonly ObservedShadow[] {
    return [...this.#groups.values()]
      .filter(({ lastMs }) => lastMs >= sinceMs)
      .map(({ days, older, ...group }) => ({ ...group, count: countSince({ days, older }, sinceMs) }));
  }

  /** What the next start is told. */
  stored(): readonly CountedShadow[] {
    return [...this.#groups.values()];
  }

  /** What was stored and was seen after `keptMs`. */
  restore(stored: readonly CountedShadow[], keptMs: number): void {
    for (const group of stored.slice(0, observedShadowsMax))
      if (group.lastMs >= keptMs) this.#groups.set(keyOf(group), group);
  }

  clear(): void {
    this.#groups.clear();
  }
}

function keyOf({ policy, would, operation, caller }: Named): string {
  return JSON.stringify([policy, would, operation, caller]);
}
