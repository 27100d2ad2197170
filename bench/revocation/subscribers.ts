// Promises gateways' ends of the channel, many in one process: each joins with a token of its own, follows control over mTLS by the product's own feed,
// takes every ring and every revocation and acknowledges it. Compiles no snapshot and listens to nobody. Specified in docs/formats/join.md.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createChannelFeed } from "@sallyport/gateway/channel/feed.ts";
import { joinOnce } from "@sallyport/gateway/join/join.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import { openChannelTransport } from "sallyport/roles/channel-transport.ts";
import { systemClock, systemRandom } from "sallyport/roles/system-ports.ts";
import { answerQuestions } from "../gateway/process.ts";
import type { SubscribersState } from "./words.ts";

/** Joins under way at once: a handshake and a certificate each. */
const joinsMax = 8;

const dialer = createDialer();
const directory = mkdtempSync(join(tmpdir(), "sallyport-bench-subscribers-"));
const subscribers: Subscriber[] = [];

class Subscriber {
  readonly held = { keySeq: 0, revocationSeq: 0 };
  faults = 0;
  #hello = Promise.withResolvers<void>();
  #close: () => Promise<void> = async () => {};

  static async join(token: string, number: number): Promise<Subscriber> {
    const subscriber = new Subscriber();
    const identity = await joinOnce(token, {
      dataDirectory: join(directory, String(number)),
      transport: (control) => openChannelTransport(dialer, control),
      setAside: () => {},
      now: () => systemClock.now(),
    });
    const client = { cert: identity.certificate, key: identity.nodeKey };
    const transport = openChannelTransport(dialer, identity, client);
    const feed = createChannelFeed({
      transport,
      clock: systemClock,
      random: systemRandom,
      held: () => subscriber.held,
      fault: () => subscriber.#fault(),
    });
    const open = feed.open((message) => subscriber.#take(message, (up) => open.send(up)));
    subscriber.#close = async () => {
      await open.close();
      await transport.close();
    };
    await subscriber.#hello.promise;
    return subscriber;
  }

  #take(message: DownMessage, send: (message: UpMessage) => Promise<void>): void {
    if (message.t === "hello") this.#hello.resolve();
    else if (message.t === "keys") this.held.keySeq = message.seq;
    else if (message.t === "revocations") {
      // As a gateway judges it: a range that begins later than what is held left something out.
      if (message.from > this.held.revocationSeq + 1) this.#fault();
      this.held.revocationSeq = Math.max(this.held.revocationSeq, message.through);
    } else return;
    send({ t: "ack", ...this.held, epoch: 0, version: 0 }).catch(() => this.#fault());
  }

  #fault(): void {
    this.faults += 1;
  }

  close(): Promise<void> {
    return this.#close();
  }
}

async function joinAll(tokens: readonly string[]): Promise<number> {
  const waiting = [...tokens];
  const one = async () => {
    for (let token = waiting.pop(); token !== undefined; token = waiting.pop())
      subscribers.push(await Subscriber.join(token, waiting.length));
  };
  await Promise.all(Array.from({ length: joinsMax }, one));
  return subscribers.length;
}

function state(): SubscribersState {
  return {
    subscribers: subscribers.length,
    faults: subscribers.reduce((sum, { faults }) => sum + faults, 0),
    keySeq: Math.min(...subscribers.map(({ held }) => held.keySeq)),
    revocationSeq: Math.min(...subscribers.map(({ held }) => held.revocationSeq)),
  };
}

/** Resolves when every subscriber holds the sequence. */
async function everyoneHolds({ revocationSeq }: { readonly revocationSeq: number }): Promise<SubscribersState> {
  while (state().revocationSeq < revocationSeq) await new Promise((resolve) => setTimeout(resolve, 1));
  return state();
}

answerQuestions(
  { join: ({ tokens }: { readonly tokens: readonly string[] }) => joinAll(tokens), state, holds: everyoneHolds },
  async () => {
    await Promise.all(subscribers.map((one) => one.close()));
    rmSync(directory, { recursive: true, force: true });
  },
);
