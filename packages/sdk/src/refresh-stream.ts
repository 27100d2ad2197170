// Promises that a stream goes on for as long as its client gets tokens: each is put in the place of the one before while that still holds, without connecting again.
// Trusts the fetch it is given, and the gateway for how long a token lasts. Specified in docs/streams.md "Refreshing" and docs/sdk.md "Keep a stream".
import { type AgainPorts, pauseMs, waitFor } from "./again.ts";
import { correlationIdOf, type Denial, denialOf } from "./denial.ts";
import type { SallyportFetch } from "./sallyport-fetch.ts";

export interface RefreshStreamOptions extends AgainPorts {
  /** Ends the refreshing, not the stream. */
  readonly signal?: AbortSignal;
  /** The stream may go on for so many seconds. */
  readonly onRefreshed?: (seconds: number) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** When this part of the time has passed it is refreshed again. */
const refreshPart = 0.75;
const waitMsMin = 1_000;
/** How long the first one may take: nobody knows yet how long the token lasts. */
const firstMs = 60_000;
const crossingForm = /^[A-Za-z0-9-]{1,128}$/;

/**
 * Refreshes until the gateway says no for good, and resolves with that denial (`stream-unknown` once the stream has ended), or with null when `signal` aborts.
 * `stream`: the response, or the id in `Sallyport-Crossing` of a handshake or a call. Throws TypeError where there is none; rejects with the last fault once
 * nothing has come of it for as long as the token lasts.
 */
export async function refreshStream(
  fetch: SallyportFetch,
  stream: Response | string,
  options: RefreshStreamOptions = {},
): Promise<Denial | null> {
  const id = typeof stream === "string" ? stream : correlationIdOf(stream);
  if (id === null || !crossingForm.test(id)) throw new TypeError("There is no crossing to refresh.");
  const { signal = null, now = Date.now, wait = waitFor } = options;
  let untilMs = now() + firstMs;
  for (let tried = 1; ; tried++) {
    let waitMs = 0;
    try {
      const response = await fetch(`/.well-known/sallyport/streams/${id}`, { method: "POST", signal });
      const denial = await denialOf(response);
      if (denial === null) {
        const seconds = await secondsOf(response);
        options.onRefreshed?.(seconds);
        untilMs = now() + seconds * 1_000;
        tried = 0;
        waitMs = Math.max(waitMsMin, seconds * refreshPart * 1_000);
      } else {
        await response.body?.cancel();
        // A balancer between may have answered: that is no word about the stream.
        if (!(denial.retryable || denial.status >= 500) || now() >= untilMs) return denial;
        waitMs = pauseMs(response, tried, options.random);
      }
    } catch (error) {
      if (signal?.aborted === true) return null;
      if (now() >= untilMs) throw error;
      waitMs = pauseMs(null, tried, options.random);
    }
    await wait(waitMs, signal).catch(() => {
      // It was left: told by the next look at the signal.
    });
    if (signal?.aborted === true) return null;
  }
}

async function secondsOf(response: Response): Promise<number> {
  const { expiresIn } = (await response.json()) as { expiresIn?: unknown }; // judged below
  if (typeof expiresIn !== "number" || !(expiresIn >= 0)) throw new TypeError("The gateway did not say for how long.");
  return expiresIn;
}
