// Promises one effect for each call, however often it has to be sent: one Idempotency-Key over all of them, waits as the gateway asks, and an end.
// Trusts the gateway to keep the key (docs/idempotency.md). Specified in docs/sdk.md "One effect".
import { type AgainPorts, pauseMs, waitFor } from "./again.ts";
import { denialOf } from "./denial.ts";
import { freshId } from "./dpop-proofs.ts";
import { SallyportFault } from "./fault.ts";
import { isOneTime, type SallyportFetch } from "./sallyport-fetch.ts";

export interface IdempotentFetchOptions extends AgainPorts {
  /** How often one call is sent at most; default 5. */
  readonly attempts?: number;
  /** A longer wait than this is yours: the answer that asks for it is returned. Milliseconds; default 30,000. */
  readonly waitMsMax?: number;
}

const attemptsDefault = 5;
const waitMsMaxDefault = 30_000;
const withoutEffect: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * A fetch whose every call with an effect is one effect, of an operation that has `idempotency`. It is sent again when no answer came, and when the gateway
 * says that the very same request may succeed later. A key of your own in `headers` is kept. Throws SallyportFault (body-not-replayable, idempotency-key-reused)
 * and whatever `fetch` throws.
 */
export function idempotentFetch(fetch: SallyportFetch, options: IdempotentFetchOptions = {}): SallyportFetch {
  const { attempts = attemptsDefault, waitMsMax = waitMsMaxDefault, wait = waitFor, random } = options;
  return async (input, init) => {
    const sending = await repeatable(input, init);
    const { signal = null, method = "GET" } = sending.init;
    if (withoutEffect.has(method.toUpperCase())) return fetch(sending.url, sending.init);
    const headers = new Headers(sending.init.headers);
    if (!headers.has("idempotency-key")) headers.set("idempotency-key", `"${freshId()}"`);
    for (let tried = 1; ; tried++) {
      const answered = await fetch(sending.url, { ...sending.init, headers }).then(
        (response) => ({ response }),
        (error: unknown) => {
          if (tried >= attempts || signal?.aborted === true || !mayPass(error)) throw error;
          return { response: null };
        },
      );
      const { response } = answered;
      const waitMs = pauseMs(response, tried, random);
      if (response !== null) {
        if (!(await isToRepeat(response)) || tried >= attempts || waitMs > waitMsMax) return response;
        await response.body?.cancel();
      }
      await wait(waitMs, signal);
    }
  };
}

/** Did it fail on the way? Everything else fails the same way again. */
function mayPass(error: unknown): boolean {
  return error instanceof SallyportFault ? error.code === "token-endpoint-unreachable" : error instanceof Error;
}

async function isToRepeat(response: Response): Promise<boolean> {
  const denial = await denialOf(response);
  if (denial?.by !== "gateway") return false;
  if (denial.code === "idempotency-key-reused")
    throw new SallyportFault("idempotency-key-reused", {
      public: "This Idempotency-Key belongs to another request.",
      internal: denial.detail ?? denial.code,
    });
  return denial.retryable;
}

interface Repeatable {
  readonly url: string | URL;
  readonly init: RequestInit;
}

/** What can be sent as often as it takes: a Request is read once, here. */
async function repeatable(input: string | URL | Request, init: RequestInit = {}): Promise<Repeatable> {
  if (isOneTime(init.body))
    throw new SallyportFault("body-not-replayable", {
      public: "A stream is sent once, and this call may be sent again.",
    });
  if (!(input instanceof Request)) return { url: input, init };
  const { method, headers, signal } = input;
  const body = input.body === null ? {} : { body: await input.arrayBuffer() };
  return { url: input.url, init: { method, headers, signal, ...body, ...init } };
}
