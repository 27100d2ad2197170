// Promises that a receipt goes to the principal that made the crossing, and that to everybody else it looks as if there were none. Pure.
// Trusts the leaf the log holds. Specified in docs/receipts.md "Who may have it".
import type { FoundCrossing } from "@sallyport/kernel/receipts/port.ts";
import type { Pseudonym } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** Whether a pseudonym in a leaf stands for this caller or subject. */
export type Names = (pseudonym: Pseudonym, domain: "caller" | "subject", value: string) => boolean;

/** One text for every reason, so that it tells none apart. */
export const noReceipt: Deny = deny("bind", "receipt-unknown", {
  detail:
    "There is none from this gateway for this caller: ask the gateway whose name the id begins with, as the principal that made the crossing",
});

/** The receipt, where the crossing is the asker's and its end is covered. */
export function decideReceipt(found: FoundCrossing, asker: Principal, names: Names): string | Deny {
  if (found.decided === null || !isOf(found.decided, asker, names)) return noReceipt;
  return (
    found.receipt ??
    deny("bind", "receipt-pending", {
      detail: "The crossing has not ended, or no signed checkpoint covers its record yet; ask again in a second",
    })
  );
}

/** Same caller, same user behind it, vouched for by the same issuer; and a verdict that was carried out: what would be denied is not the caller's to know. */
function isOf(text: string, asker: Principal, names: Names): boolean {
  const leaf = parseLeafText(text);
  if ((leaf.t !== "crossing" && leaf.t !== "intent") || leaf.mode !== "enforce" || leaf.caller === null) return false;
  const isSameSubject =
    leaf.subject === null
      ? asker.subject === undefined
      : asker.subject !== undefined && names(leaf.subject, "subject", asker.subject);
  return (
    names(leaf.caller, "caller", asker.caller) && isSameSubject && (leaf.issuer ?? null) === (asker.issuer ?? null)
  );
}
