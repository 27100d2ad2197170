// Promises that every key about tokens that providers are called with has somebody who obeys it. Trusts config-readers.ts, which holds it to that.
import type { Obeyed, Reader } from "./unread-keys.ts";

const nextHop = "packages/control/src/identity/next-hop";
const obeyed = (by: string, reads: string): Obeyed => ({ by, reads });

export const nextHopReaders: Readonly<Record<string, Reader>> = {
  "nextHop.actor": obeyed(`${nextHop}/decide-next-hop.ts`, "rule.actor ==="),
  "nextHop.identity": obeyed("packages/gateway/src/forward/stage.ts", "rule.withoutIdentity === true"),
  "nextHop.bearer.reason": { forPeople: "why tokens are bound to nothing; that it says something is a rule of lint" },
  "nextHop.bearer.until": obeyed(`${nextHop}/decide-next-hop.ts`, "rule.bearer.untilMs <= now"),
  "nextHop.outside.endpoint": obeyed(`${nextHop}/outside-tokens.ts`, "send(net, endpoint.uri"),
  "nextHop.outside.grant": obeyed(`${nextHop}/outside-tokens.ts`, "endpoint.grant ==="),
  "nextHop.outside.client": obeyed(`${nextHop}/outside-tokens.ts`, "client_id: client"),
  "nextHop.outside.issuer": obeyed(`${nextHop}/outside-tokens.ts`, "aud: audience"),
  "nextHop.outside.resource": obeyed(`${nextHop}/outside-tokens.ts`, "resource === undefined"),
  "nextHop.outside.scopes": obeyed(`${nextHop}/next-hops.ts`, "?? endpoint.scope"),
  "nextHop.outside.allowPrivate": obeyed(`${nextHop}/outside-tokens.ts`, "allowPrivate ? hostOf"),
  "nextHop.outside.tls.ca": obeyed(`${nextHop}/outside-tokens.ts`, "name === trust"),
  "operations.<name>.nextHopScope": obeyed(`${nextHop}/next-hops.ts`, "operation?.nextHopScope"),
};
