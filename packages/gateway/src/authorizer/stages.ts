// Promises the stages of a question that other crossings do not have: what cannot be kept here is refused, and the yes goes out once it is on record.
// Trusts the stages before for everything else. Specified in docs/authorizer.md.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { pathForUpstream } from "../forward/upstream-path.ts";
import type { Gate } from "../gate.ts";
import { settleAllowed } from "../record/settle.ts";
import { decideUnseen } from "./unseen.ts";

export function refuseUnseen({ operation, grant, request }: Exchange): Deny | null {
  if (operation === null || grant === null || request === null) return deny("bind", "not-ready");
  const unseen = decideUnseen(operation.object, grant.integration);
  if (unseen !== null) return unseen;
  // Only where the question tells how the request itself is framed; elsewhere it has neither.
  const hasContent = request.chunked || (request.contentLength ?? 0) > 0;
  if (!hasContent || operation.object.body !== undefined) return null;
  return deny("inspect", "content-type", { detail: "This operation takes no content" });
}

/** The yes: who calls, signed for the provider, and the target as the gateway itself would send it. */
export function settleQuestion(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { hopToken, operation } = exchange;
  if (hopToken === null || operation === null) return Promise.resolve(deny("record", "internal"));
  const target = `${operation.system.upstream?.places[0]?.basePath ?? ""}${pathForUpstream(exchange)}`;
  return settleAllowed(exchange, ["sallyport-identity", hopToken, "sallyport-target", target], gate);
}
