// Promises what policies about tokens are told of the place a request came from and of the risk of the user's log-in: only what they read, from what was proven
// and from the connection, never from words of the request. Trusts clear-token.ts for both and the operator's file for countries. docs/policy-signals.md.
import { classifyAddress } from "@sallyport/kernel/dial/decide-dial.ts";
import type { GeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import { assessRisk, riskOf } from "@sallyport/kernel/geo/risk.ts";
import { SessionPlaces } from "@sallyport/kernel/geo/session-places.ts";
import type { TokenSignalName, TokenSignals } from "@sallyport/kernel/policy/token-signals.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import { acrLevelOf } from "@sallyport/protocol/token/acr.ts";
import type { SubjectFacts } from "../mint.ts";

export interface SignalQuestion {
  readonly client: string;
  /** As clear-token.ts tells policies; null: nobody knows. */
  readonly address: string | null;
  /** Absent: the client acts for itself. */
  readonly subject?: SubjectFacts | undefined;
}

export interface IssuanceSignals {
  /** The signals of these names; one that cannot be known is absent. */
  of(names: readonly TokenSignalName[], asked: SignalQuestion): TokenSignals;
}

/** Of one environment. Without `geo` nobody knows where an address is. What is remembered of sessions is in memory alone, of requests whose policies read risk. */
export function createIssuanceSignals(of: {
  readonly geo: GeoFile | null;
  readonly clock: Pick<Clock, "now">;
}): IssuanceSignals {
  const { geo, clock } = of;
  const places = new SessionPlaces();
  return {
    of(names, { client, address, subject }) {
      if (names.length === 0) return {};
      const nowMs = clock.now();
      const wantsRisk = names.includes("risk") || names.includes("riskFactors");
      const place = address !== null && (wantsRisk || names.includes("country")) ? (geo?.find(address) ?? null) : null;
      const age = ageOf(subject, nowMs);
      const factors =
        !wantsRisk || subject === undefined
          ? null
          : assessRisk({
              level: acrLevelOf(subject.acr),
              ageSeconds: age,
              // Several clients may have tokens of one session, each from where it stands: only one's own moves say something.
              seen: places.see(`${subject.session ?? subject.id} ${client}`, place, nowMs),
              isUnknownPlace:
                geo !== null && place === null && address !== null && classifyAddress(address) === "public",
            });
      const all: TokenSignals = {
        ...(place === null ? {} : { country: place.country }),
        ...(age === null ? {} : { authAge: age }),
        ...(factors === null ? {} : { risk: riskOf(factors), riskFactors: factors.map(({ name }) => name) }),
      };
      return Object.fromEntries(Object.entries(all).filter(([name]) => names.some((one) => one === name)));
    },
  };
}

/** Where nobody asks from anywhere: in a table of cases, and in tests. */
export const noSignals: IssuanceSignals = { of: () => ({}) };

/** Seconds since the user's log-in; null: unknown. 0 where the clock of who vouched for it is ahead. */
function ageOf(subject: SubjectFacts | undefined, nowMs: number): number | null {
  const time = subject?.authTime;
  return time === undefined ? null : Math.max(0, Math.floor(nowMs / 1_000) - time);
}
