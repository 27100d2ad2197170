// Promises that control hears every few seconds how a gateway is, for `status` and `doctor --fleet`. Trusts the transport; a report that is
// lost is no news. Specified in docs/formats/join.md "State".
import type { ChannelTransport } from "@sallyport/gateway/channel/feed.ts";
import type { Gateway } from "@sallyport/gateway/gateway.ts";
import { faultsOf } from "@sallyport/gateway/observe/status.ts";
import { nodeFaultCharactersMax, nodeFaultsMax, type UpMessage } from "@sallyport/protocol/channel/messages.ts";
import { version } from "../version.ts";
import { systemClock } from "./system-ports.ts";

const reportMs = 2_000;

/** Reports until told to stop; returns how. */
export function shareState(
  gateway: Pick<Gateway, "status">,
  transport: Pick<ChannelTransport, "post">,
  everyMs = reportMs,
): () => void {
  let sending = false;
  const report = async () => {
    const status = gateway.status();
    const { stalenessMs, logOrigin, logLeaves, inFlight, waiting } = status;
    const faults = faultsOf(status)
      .slice(0, nodeFaultsMax)
      .map((fault) => fault.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, nodeFaultCharactersMax));
    const message: Extract<UpMessage, { t: "state" }> = {
      t: "state",
      at: systemClock.now(),
      version,
      stalenessMs: stalenessMs === null ? null : Math.max(0, Math.round(stalenessMs)),
      logOrigin,
      logLeaves,
      inFlight,
      waitingMs: Math.max(0, Math.round(waiting?.waitingMs ?? 0)),
      ...(faults.length === 0 ? {} : { faults }),
    };
    await transport.post("/channel/v1/up", JSON.stringify(message));
  };
  const timer = setInterval(() => {
    // One at a time: a slow channel must not collect them.
    if (sending) return;
    sending = true;
    report()
      // The feed says when the channel is interrupted.
      .catch(() => undefined)
      .finally(() => {
        sending = false;
      });
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
