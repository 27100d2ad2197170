// Promises what became of every effect that had a key, while the gateway in front of its provider is killed again and again: none happens twice, and
// whoever had an answer gets that answer again. Trusts the provider's own count. Specified in docs/control.md "Soaks".
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCountingUpstream } from "@sallyport/gateway/testing/counting-upstream.ts";
import { TestCaller } from "@sallyport/gateway/testing/test-caller.ts";
import { TestFeed } from "@sallyport/gateway/testing/test-estate.ts";
import { startProcess } from "./gateway/process.ts";
import type { KilledStart } from "./idempotency/killed-gateway.ts";
import { type SoakOptions, seeded } from "./soak-installation.ts";

export interface IdempotencyFigures {
  readonly soak: "idempotency";
  readonly seed: number;
  readonly kills: number;
  /** Keys that were used, and effects the provider had for them. */
  readonly keys: number;
  readonly effects: number;
  /** Repeats of requests that had been answered: each got that answer. */
  readonly replayed: number;
  /** What repeats were told whose first request got no answer: by status and code, or `replayed`, or `done` where it was done now. */
  readonly lost: Readonly<Record<string, number>>;
  readonly broken: readonly string[];
  readonly ok: boolean;
}

const workers = 8;
const killsPerMinute = 12;
/** Killed as soon as so many were answered: while others are on their way there, at the provider, and back. */
const killedAfterMax = 120;
const providerMsMax = 25;
/** Beyond the lease of a crossing that died: the operation's timeout, 10 s, and 35 s more. */
const roundMs = 60_000;
const repeatedOfAnswered = 40;
/** Of one that only the gateway gives one effect, and of one whose provider honours keys. */
const paths = ["payments", "transfers"] as const;

interface Effect {
  readonly key: string;
  readonly path: (typeof paths)[number];
  readonly body: string;
  /** Null: no answer came. */
  answer: { readonly status: number; readonly text: string } | null;
}

/** The provider: what it did by content, and for transfers what it did by its own key. */
class Provider {
  readonly done = new Map<string, number>();
  readonly #byKey = new Map<string, string>();
  readonly #random: () => number;
  url = "";
  close: () => Promise<void> = async () => undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  async open(): Promise<void> {
    const upstream = await startCountingUpstream();
    upstream.answer = (request, response, body) => {
      const key = request.headers["idempotency-key"];
      const said = typeof key === "string" ? this.#byKey.get(key) : undefined;
      const answer = said ?? JSON.stringify({ number: this.done.size, body });
      if (said === undefined) this.done.set(body, (this.done.get(body) ?? 0) + 1);
      if (typeof key === "string") this.#byKey.set(key, answer);
      setTimeout(
        () => response.writeHead(201, { "content-type": "application/json" }).end(answer),
        this.#random() * providerMsMax,
      );
    };
    this.url = upstream.url;
    this.close = upstream.close;
  }
}

class Soak {
  readonly #random: () => number;
  readonly #directory = mkdtempSync(join(tmpdir(), "sallyport-soak-idempotency-"));
  readonly #dataKey = randomBytes(32).toString("base64url");
  readonly #feed: TestFeed;
  readonly provider: Provider;
  readonly broken: string[] = [];
  readonly lost: Record<string, number> = {};
  replayed = 0;
  keys = 0;
  kills = 0;
  #shiftMs = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
    this.provider = new Provider(this.#random);
    this.#feed = new TestFeed(() => this.#now());
  }

  #now(): number {
    return Date.now() + this.#shiftMs;
  }

  /** A new gateway over the store of those before, which repeats what they were asked. */
  async #begin(before: readonly Effect[]) {
    this.#shiftMs += roundMs;
    const gateway = startProcess("../idempotency/killed-gateway.ts", { core: null });
    const { kid, jwk } = this.#feed.ringSigner;
    const start: KilledStart = {
      upstream: this.provider.url,
      directory: join(this.#directory, String(this.kills)),
      store: { path: join(this.#directory, "data-plane.sqlite") },
      dataKey: this.#dataKey,
      shiftMs: this.#shiftMs,
      issuer: { kid, jwk: { ...jwk } },
    };
    const url = await gateway.ask<string>({ ask: "start", ...start });
    const caller = new TestCaller(this.#feed, "orders", () => this.#now());
    await caller.learnNonce(`${url}/bank/v1/payments`);
    for (const effect of before) await this.#repeat(url, caller, effect);
    return { gateway, url, caller };
  }

  /** Load until the gateway is killed. The effects it was asked for. */
  async round(before: readonly Effect[]): Promise<readonly Effect[]> {
    const { gateway, url, caller } = await this.#begin(before);
    const effects: Effect[] = [];
    const killedAfter = 1 + Math.floor(this.#random() * killedAfterMax);
    let answered = 0;
    let isKilled = false;
    const load = Array.from({ length: workers }, async () => {
      while (!isKilled) {
        const effect = this.#fresh();
        effects.push(effect);
        effect.answer = await this.#send(url, caller, effect).catch(() => null);
        answered += 1;
        if (answered !== killedAfter) continue;
        process.kill(gateway.pid, "SIGKILL");
        isKilled = true;
      }
    });
    await Promise.all(load);
    this.kills += 1;
    await gateway.stop();
    this.keys += effects.length;
    return effects;
  }

  /** What the last one that was killed left. */
  async end(before: readonly Effect[]): Promise<void> {
    const { gateway } = await this.#begin(before);
    await gateway.stop();
  }

  #fresh(): Effect {
    const key = `"${randomBytes(12).toString("hex")}"`;
    const path = this.#random() < 0.5 ? "payments" : "transfers";
    return { key, path, body: JSON.stringify({ amount: 1, of: key }), answer: null };
  }

  async #send(url: string, caller: TestCaller, { key, path, body }: Effect) {
    const headers = { "content-type": "application/json", "idempotency-key": key };
    return caller.send(`${url}/bank/v1/${path}`, { method: "POST", headers, body });
  }

  async #repeat(url: string, caller: TestCaller, effect: Effect): Promise<void> {
    const repeat = await this.#send(url, caller, effect);
    const isReplay = repeat.headers["sallyport-replay-of"] !== undefined;
    if (effect.answer !== null && effect.answer.status === 201) {
      if (isReplay && repeat.status === 201 && repeat.text === effect.answer.text) this.replayed += 1;
      else
        this.broken.push(
          `${effect.path} ${effect.key} was answered, and its repeat got ${repeat.status} ${repeat.text}`,
        );
      return;
    }
    const told = repeat.status === 201 ? (isReplay ? "replayed" : "done") : `${repeat.status} ${repeat.code}`;
    const name = `${effect.path}: ${told}`;
    this.lost[name] = (this.lost[name] ?? 0) + 1;
    // Only where nobody can know it, and the provider cannot be asked again, may the caller be left without an answer.
    if (told !== "replayed" && told !== "done" && name !== "payments: 409 idempotency-outcome-unknown")
      this.broken.push(`${effect.path} ${effect.key} got no answer, and its repeat got ${told}`);
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export async function runIdempotency({ seed, minutes, rounds }: SoakOptions): Promise<IdempotencyFigures> {
  const soak = new Soak(seed);
  await soak.provider.open();
  const wanted = rounds ?? Math.ceil(minutes * killsPerMinute);
  const all: Effect[] = [];
  try {
    let before: readonly Effect[] = [];
    while (soak.kills < wanted) {
      const effects = await soak.round(before);
      all.push(...effects);
      const answered = effects.filter(({ answer }) => answer !== null);
      before = [...effects.filter(({ answer }) => answer === null), ...answered.slice(-repeatedOfAnswered)];
    }
    await soak.end(before);
    const { done } = soak.provider;
    for (const { path, key, body, answer } of all) {
      const times = done.get(body) ?? 0;
      if (times > 1) soak.broken.push(`${path} ${key} was done ${times} times`);
      if (times === 0 && answer?.status === 201) soak.broken.push(`${path} ${key} was answered and never done`);
      if (answer !== null && answer.status !== 201)
        soak.broken.push(`${path} ${key} got ${answer.status} ${answer.text}`);
    }
    const { kills, keys, replayed, lost, broken } = soak;
    return {
      ...{ soak: "idempotency", seed, kills, keys, effects: done.size, replayed, lost },
      broken: broken.slice(0, 20),
      ok: broken.length === 0,
    };
  } finally {
    await soak.provider.close();
    soak.close();
  }
}
