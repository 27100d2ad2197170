// Promises what policies are told of a log-in and its place: only what they read, from what was proven and from the connection, never from a header.
// Trusts identify for the principal, the kernel for the address, and the operator's file for the country. Specified in docs/policy-signals.md.

import type { GeoFile, Place } from "@sallyport/kernel/geo/geo-file.ts";
import { assessRisk, type Factor, riskOf } from "@sallyport/kernel/geo/risk.ts";
import { type RemembersSessions, SessionPlaces } from "@sallyport/kernel/geo/session-places.ts";
import type { SignalName, Signals } from "@sallyport/kernel/policy/signals.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { AddressClass } from "@sallyport/protocol/audit/leaf.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { acrLevelOf } from "@sallyport/protocol/token/acr.ts";
import type { Exchange } from "../exchange.ts";

export interface SignalSource {
  /** The signals of these names; one that cannot be known is absent. */
  of(names: readonly SignalName[], exchange: Pick<Exchange, "principal" | "source">): Signals;
}

export interface SignalParts {
  readonly principal: Principal;
  readonly addressClass: AddressClass;
  readonly place: Place | null;
  /** Null: nobody is acted for. */
  readonly factors: readonly Factor[] | null;
  readonly nowMs: number;
}

/** Without `geo` nobody knows where an address is. `places`: what is remembered of sessions; its own where absent. */
export function createSignals(of: {
  readonly geo?: GeoFile | null;
  readonly places?: RemembersSessions | undefined;
  readonly clock: Pick<Clock, "now">;
}): SignalSource {
  const geo = of.geo ?? null;
  const places = of.places ?? new SessionPlaces();
  return {
    of(names, { principal, source }) {
      if (principal === null) return {};
      const nowMs = of.clock.now();
      const wantsRisk = names.includes("risk") || names.includes("riskFactors");
      const place = wantsRisk || names.includes("country") ? (geo?.find(source.address) ?? null) : null;
      const { subject, session } = principal;
      const factors =
        !wantsRisk || subject === undefined
          ? null
          : assessRisk({
              level: acrLevelOf(principal.acr),
              ageSeconds: ageOf(principal, nowMs) ?? null,
              // Without a session of ours the user and the client stand for it.
              seen: places.see(session ?? `${principal.client ?? principal.caller} ${subject}`, place, nowMs),
              isUnknownPlace: geo !== null && place === null && source.addressClass.startsWith("public"),
            });
      return decideSignals(names, { principal, addressClass: source.addressClass, place, factors, nowMs });
    },
  };
}

/** Pure. */
export function decideSignals(names: readonly SignalName[], parts: SignalParts): Signals {
  const { principal, addressClass, place, factors, nowMs } = parts;
  const age = ageOf(principal, nowMs);
  const all: Signals = {
    ...(principal.amr === undefined ? {} : { amr: principal.amr }),
    ...(age === undefined ? {} : { authAge: age }),
    acrLevel: principal.subject === undefined ? 0 : acrLevelOf(principal.acr),
    addressClass,
    ...(place === null ? {} : { country: place.country }),
    ...(factors === null ? {} : { risk: riskOf(factors), riskFactors: factors.map(({ name }) => name) }),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => names.some((one) => one === name)));
}

/** Seconds since the user's log-in; 0 where the issuer's clock is ahead. */
function ageOf({ authTime }: Principal, nowMs: number): number | undefined {
  return authTime === undefined ? undefined : Math.max(0, Math.floor(nowMs / 1_000) - authTime);
}
