// Promises that a suspension is refused at the gateway within a second of its commit, and that it ends when the operator says so.
// Trusts the clock of this process: both ends are measured here. The bound is that of docs/registry.md.
import { setTimeout as delay } from "node:timers/promises";
import type { Telling } from "./telling.ts";

const invoice = "/billing/v1/shops/shop-north/invoices/inv-1001";
const boundMs = 1_000;
const pollMs = 5;
const renewPollMs = 100;
const pollsMax = 600;
const renewalsMax = 50;

interface OpenStream {
  /** When the operator's request was sent. */
  switchedMs: number;
  /** All that came, and when it was over. */
  readonly ended: Promise<{ readonly text: string; readonly endedMs: number }>;
}

/** An event stream of billing that orders follows; it is open when this resolves. */
async function openStream({ orders }: Pick<Telling, "orders">): Promise<OpenStream> {
  const response = await orders.fetch("/billing/v1/events");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader?.read())?.value ?? "";
  const read = async () => {
    try {
      for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) text += next.value;
    } catch {
      // Cut, as an answer that must not look whole is.
    }
    return { text, endedMs: performance.now() };
  };
  return { switchedMs: 0, ended: read() };
}

/** orders loses billing, sees it within a second, and gets it back. */
export async function tellSuspended(telling: Telling): Promise<void> {
  const { market, story, planted, orders } = telling;
  const { billing } = market.services.production;
  story.chapter("The switch");
  const reason = "an operator's reason";
  planted.except({
    what: reason,
    place: /^control\/control\.sqlite(-wal)?$/,
    reason: "an operator's words, not a caller's: kept with the state they explain (docs/registry.md, registry_state)",
  });
  const stream = await openStream(telling);
  await story.check("orders-to-billing suspended, from the operator's request to the first refusal", async (expect) => {
    const startedMs = performance.now();
    const acted = market.operator.setIntegration("orders-to-billing", "suspend", planted.value(reason, "incident "));
    let refusedMs: number | null = null;
    for (let poll = 0; poll < pollsMax && refusedMs === null; poll += 1) {
      const reply = await orders.send(invoice);
      if (reply.code === "not-active") refusedMs = performance.now() - startedMs;
      else await delay(pollMs);
    }
    await acted;
    stream.switchedMs = startedMs;
    expect.ok(`refused within ${boundMs} ms`, refusedMs !== null && refusedMs < boundMs, `${refusedMs} ms`);
    return refusedMs === null ? undefined : `${Math.round(refusedMs)} ms, the operator's own request included`;
  });
  await story.check("the event stream that was open is told why, and ends", async (expect) => {
    const { text, endedMs } = await stream.ended;
    const tookMs = Math.round(endedMs - stream.switchedMs);
    expect.ok("it was open before: its first event came", text.includes('"state":"paid"'), text);
    expect.ok("the last event says why", text.includes("sallyport-ended") && text.includes("not-active"), text);
    expect.ok(`ended within ${boundMs} ms`, tookMs < boundMs, `${tookMs} ms`);
    return `${tookMs} ms, the operator's own request included`;
  });
  await story.denied({
    caption: "orders calls under the suspended integration",
    counter: billing,
    status: 403,
    publicCode: "not-active",
    code: "not-active",
    stage: "bind",
    send: () => orders.send(invoice),
  });
  await market.operator.setIntegration("orders-to-billing", "activate", "the demo goes on");
  await story.check("orders-to-billing is served again after it was activated", async (expect) => {
    let served = false;
    for (let poll = 0; poll < renewalsMax && !served; poll += 1) {
      // A token issued before the suspension, to the second, stays worthless: orders asks for new ones.
      await orders.renew().catch(() => null);
      served = (await orders.send(invoice).catch(() => null))?.status === 200;
      if (!served) await delay(renewPollMs);
    }
    expect.ok("a call passes", served);
    return undefined;
  });
}
