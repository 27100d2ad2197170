// Promises the time from an operator's order to the first refused request at a gateway in a process of its own: measured from before the order is
// sent, so never shorter than from its commit. Trusts the callers' answers. Specified in docs/control.md "Soaks".
import { type Installation, tinyIntegration } from "sallyport/installation.test-support.ts";
import { freshOperator, quantile, type SoakOptions, seeded, withInstallation } from "./soak-installation.ts";

export interface RevocationFigures {
  readonly soak: "revocation";
  readonly seed: number;
  readonly orders: Readonly<Record<Order, number>>;
  /** Milliseconds over all orders. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Orders that were not obeyed within 30 s. */
  readonly unheeded: number;
  readonly seconds: number;
  readonly ok: boolean;
}

type Order = "suspension" | "token" | "client";
type Operator = ReturnType<ReturnType<typeof freshOperator>>;

const kinds: readonly Order[] = ["suspension", "token", "client"];
const roundsMax = 120;
const targetMs = 1_000;
const giveUpMs = 30_000;
const pollMs = 5;

export function runRevocation({ seed, minutes, rounds }: SoakOptions): Promise<RevocationFigures> {
  return withInstallation(async ({ installation }) => {
    const random = seeded(seed);
    const operator = freshOperator(installation);
    const startedMs = performance.now();
    const endMs = startedMs + minutes * 60_000;
    const orders: Record<Order, number> = { suspension: 0, token: 0, client: 0 };
    const times: number[] = [];
    let unheeded = 0;
    for (let round = 0; round < (rounds ?? roundsMax) && performance.now() < endMs; round += 1) {
      const kind = kinds[Math.floor(random() * kinds.length)] ?? "suspension";
      const took = await obey(installation, operator(), kind);
      orders[kind] += 1;
      if (took === null) unheeded += 1;
      else times.push(took);
      if (kind === "suspension")
        await operator().call("POST", `/v1/integrations/${tinyIntegration}/activate`, { reason: "soak" });
    }
    const [p50, p99, max] = [quantile(times, 0.5), quantile(times, 0.99), Math.max(...times)].map(
      (value) => Math.round(value * 10) / 10,
    );
    return {
      soak: "revocation",
      seed,
      orders,
      p50: p50 ?? Number.NaN,
      p99: p99 ?? Number.NaN,
      max: max ?? Number.NaN,
      unheeded,
      seconds: Math.round((performance.now() - startedMs) / 100) / 10,
      ok: unheeded === 0 && times.length > 0 && (p99 ?? Number.NaN) < targetMs,
    };
  });
}

/** Milliseconds from before the order until a request with a token issued before it is refused; null: never. */
async function obey(installation: Installation, operator: Operator, kind: Order): Promise<number | null> {
  // A caller of its own, whose token outlives the order. The SDK asks for a new token when one is refused, and its caller may never see the
  // refusal: what counts is what the gateway answered.
  let refusedMs: number | null = null;
  const caller = installation.caller(undefined, undefined, (response) => {
    if (isRefusal(response)) refusedMs ??= performance.now();
  });
  const send = () => caller.fetch("/billing/v1/invoices/in-1");
  await allowed(send);
  const token = await caller.token();
  refusedMs = null;
  const orderedMs = performance.now();
  const order = giveOrder(operator, kind, token);
  for (;;) {
    await send()
      .then((response) => response.arrayBuffer())
      // A client that was cut off gets no new token either: the refusal before is what is measured.
      .catch((error: unknown) => {
        if (refusedMs === null) throw error;
      });
    // Read anew: the type cannot see that `answered` sets it.
    const seenMs = refusedMs as number | null;
    if (seenMs !== null) {
      await order;
      return seenMs - orderedMs;
    }
    if (performance.now() - orderedMs > giveUpMs) return null;
  }
}

/** A refusal of the credential or the caller; a wish for another nonce is none. */
function isRefusal(response: Response): boolean {
  if (response.status === 403) return true;
  return response.status === 401 && !(response.headers.get("www-authenticate") ?? "").includes("use_dpop_nonce");
}

async function giveOrder(operator: Operator, kind: Order, token: string): Promise<unknown> {
  const reason = "soak";
  if (kind === "suspension") return operator.call("POST", `/v1/integrations/${tinyIntegration}/suspend`, { reason });
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  const jti = typeof claims === "object" && claims !== null && "jti" in claims ? String(claims.jti) : "";
  const value = kind === "token" ? jti : "orders";
  return operator.call("POST", "/v1/revocations", { kind: kind === "token" ? "jti" : "client", value, reason });
}

/** Waits until a call is served: an activation, or a token newer than the last cut-off, takes its moment. */
async function allowed(send: () => Promise<Response>): Promise<void> {
  const deadline = performance.now() + giveUpMs;
  for (;;) {
    const response = await send();
    const text = await response.text();
    if (response.status === 200) return;
    if (performance.now() > deadline) throw new Error(`still refused: ${response.status} ${text.slice(0, 200)}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
