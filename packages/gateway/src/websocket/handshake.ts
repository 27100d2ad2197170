// Promises that a WebSocket begins only where both sides have said so in the one way RFC 6455 has: what a caller may ask for, what is asked of the
// provider, and what counts as its yes. Pure. Trusts the canonical request. Specified in RFC 6455 §4 and docs/websocket.md.
import { createHash } from "node:crypto";
import type { CanonicalRequest, UpgradeAsk } from "@sallyport/protocol/canonical/request.ts";
import type { WebSocketRule } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** `Sec-WebSocket-Accept` for a key (§4.2.2). */
export function acceptOf(key: string): string {
  return createHash("sha1")
    .update(key + guid, "latin1")
    .digest("base64");
}

/** Does the request come in the form its operation has? Pure. */
export function decideWebSocket(
  rule: WebSocketRule | undefined,
  { upgrade, headers }: Pick<CanonicalRequest, "upgrade" | "headers">,
): Deny | null {
  if (rule === undefined)
    return upgrade === null
      ? null
      : deny("inspect", "upgrade-not-supported", { why: "the operation does not declare `websocket`" });
  if (upgrade === null)
    return deny("inspect", "upgrade-required", { detail: "This operation is a WebSocket: ask for the upgrade" });
  const [origin] = headers["origin"] ?? [];
  // A browser sends it and no page can change it (§10.2); whoever is no browser sends none.
  if (origin === undefined || rule.origins.includes(origin)) return null;
  return deny("inspect", "origin-not-allowed", {
    sent: origin,
    expected: rule.origins.length === 0 ? "no Origin: no page of a browser may open it" : rule.origins.join(", "),
    detail: "Pages of this origin may not open this WebSocket",
  });
}

/** Subprotocols that are offered to the provider: those of the caller that are declared, in the caller's order. */
export function offeredProtocols(rule: WebSocketRule, { protocols }: UpgradeAsk): readonly string[] {
  return protocols.filter((one) => rule.protocols.includes(one));
}

export type Switched =
  | {
      readonly ok: true;
      /** What the provider chose; null: none. */
      readonly protocol: string | null;
      /** The fields that are not of the handshake. */
      readonly fields: readonly string[];
    }
  | { readonly ok: false; readonly why: string };

/** Is this 101 the yes to what was asked (§4.1)? `fields`: names as received and values, alternating. */
export function judgeSwitch(
  fields: readonly string[],
  asked: { readonly key: string; readonly protocols: readonly string[] },
): Switched {
  const of = (name: string): string[] => fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === name);
  const no = (why: string): Switched => ({ ok: false, why });
  const [upgrade, ...upgrades] = of("upgrade");
  if (upgrade?.toLowerCase() !== "websocket" || upgrades.length > 0)
    return no("101 to another protocol than websocket");
  const options = of("connection").flatMap((value) => value.toLowerCase().split(","));
  if (!options.some((option) => option.trim() === "upgrade")) return no("101 without Connection: upgrade");
  const accepts = of("sec-websocket-accept");
  if (accepts.length !== 1 || accepts[0] !== acceptOf(asked.key)) return no("101 with another Sec-WebSocket-Accept");
  if (of("sec-websocket-extensions").length > 0) return no("101 with an extension that was not offered");
  const [protocol, ...protocols] = of("sec-websocket-protocol");
  if (protocols.length > 0 || (protocol !== undefined && !asked.protocols.includes(protocol)))
    return no("101 with a subprotocol that was not offered");
  const rest: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!name.toLowerCase().startsWith("sec-websocket-")) rest.push(name, fields[i + 1] ?? "");
  }
  return { ok: true, protocol: protocol ?? null, fields: rest };
}
