// Promises one set of connections per endpoint, kept while any snapshot in use names it and closed after its last user: a swap costs no connection
// that did not change, and what was learnt of an endpoint outlives it. Trusts the dialer for every socket. Rules of dialling: docs/dial.md.
import type { Dialer, DialOptions } from "@sallyport/kernel/dial/port.ts";
import type { UpstreamPool } from "@sallyport/kernel/dial/upstream-port.ts";
import type { OutsideDecisionObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { UpstreamObject } from "@sallyport/protocol/snapshot/upstream-object.ts";
import type { UnderWay } from "../limit/in-flight.ts";
import type { GatewayOptions } from "../ports.ts";
import type { CompiledSystem, CompiledUpstream, Estate, UpstreamPlace } from "../snapshot/estate.ts";
import { CountedRoom } from "./counted-room.ts";
import { Endpoint, SystemTraffic } from "./endpoint.ts";
import { type RoomShare, shareOfRoom } from "./room-share.ts";
import { shownCertificate } from "./shown-certificate.ts";
import { StaleAnswers } from "./stale-answers.ts";
import type { UpstreamKeys } from "./upstream-keys.ts";

export const connectionsPerProviderMax = 256;
export const connectionsPerDecisionPointMax = 64;
export const connectTimeoutMs = 5_000;

export interface PlacedEndpoint {
  readonly endpoint: Endpoint;
  readonly basePath: string;
  readonly weight: number;
  /** The way of gRPC calls; null: the system has none. */
  readonly calls: UpstreamPool | null;
}

/** A system as one snapshot knows it. */
export interface Upstream {
  readonly system: string;
  /** At least one. */
  readonly endpoints: readonly PlacedEndpoint[];
  readonly rules: CompiledUpstream["rules"];
  readonly traffic: SystemTraffic;
  readonly counted: CountedRoom;
  /** Of all systems of this gateway. */
  readonly stale: StaleAnswers;
}

/** One snapshot's hold on its upstreams. */
export interface PoolLease {
  /** That of a system of this snapshot; undefined when it has none. */
  upstreamOf(system: CompiledSystem): Upstream | undefined;
  /** The way to the decision point of a rule of this snapshot. */
  poolOfDecisions(rule: OutsideDecisionObject): UpstreamPool | undefined;
  /** Ends this snapshot's hold; what nobody else holds closes after its running requests. */
  release(): void;
}

interface Held<T> {
  readonly value: T;
  holders: number;
}

export class UpstreamPools {
  readonly #dialer: Dialer;
  readonly #endpoints = new Map<string, Held<Endpoint>>();
  readonly #traffic = new Map<string, Held<SystemTraffic>>();
  /** One for all rules of one decision point, held once for each. */
  readonly #decisions = new Map<string, Held<UpstreamPool>>();
  readonly #calls = new Map<string, Held<UpstreamPool>>();
  readonly #stale = new StaleAnswers();
  readonly #closing = new Set<Promise<void>>();
  readonly #ownAddresses: () => ReadonlySet<string>;
  readonly #keys: UpstreamKeys | null;
  readonly #share: RoomShare | undefined;
  readonly #underWay: UnderWay;

  /** `underWay`: as the node counts. */
  constructor(
    { dialer, upstreamKeys, worker }: Pick<GatewayOptions, "dialer" | "upstreamKeys" | "worker">,
    ownAddresses: () => ReadonlySet<string>,
    underWay: UnderWay,
  ) {
    this.#dialer = dialer;
    this.#ownAddresses = ownAddresses;
    this.#keys = upstreamKeys ?? null;
    this.#share = worker;
    this.#underWay = underWay;
  }

  lease(estate: Estate): PoolLease {
    const upstreams = new Map<CompiledSystem, Upstream>();
    const keys: string[] = [];
    const decisions = new Map<OutsideDecisionObject, string>();
    for (const { object } of [...estate.systems.values()].flatMap(({ operations }) => operations))
      if (object.opa !== undefined) decisions.set(object.opa, this.#takeDecisions(object.opa));
    const calls: string[] = [];
    for (const system of estate.systems.values()) {
      if (system.upstream === null) continue;
      const isCalled = system.object.operations.some(({ grpc }) => grpc !== undefined);
      const { places } = system.upstream;
      const rules = shareOfRoom(system.upstream.rules, this.#share);
      const room = { system: system.id, rules: system.upstream.rules, underWay: this.#underWay, share: this.#share };
      const counted = new CountedRoom(room);
      const traffic = take(this.#traffic, system.id, () => new SystemTraffic());
      const endpoints = places.map((place) => {
        const key = keyOf(system, place);
        keys.push(key);
        const endpoint = take(this.#endpoints, key, () => this.#open(system, place));
        endpoint.breaker.use(rules.breaker ?? null);
        endpoint.health.use(rules.health ?? null, place.basePath);
        if (isCalled) calls.push(key);
        const way = isCalled ? this.#takeCalls(key, system, place) : null;
        return { endpoint, basePath: place.basePath, weight: place.weight, calls: way };
      });
      upstreams.set(system, { system: system.id, endpoints, rules, traffic, counted, stale: this.#stale });
    }
    return {
      upstreamOf: (system) => upstreams.get(system),
      poolOfDecisions: (rule) => this.#decisions.get(decisions.get(rule) ?? "")?.value,
      release: () => {
        for (const key of keys) this.#drop(key);
        for (const { system } of upstreams.values()) drop(this.#traffic, system);
        for (const key of calls) this.#close(drop(this.#calls, key));
        for (const key of decisions.values()) this.#close(drop(this.#decisions, key));
      },
    };
  }

  /** Everything that is held now, for whoever counts. */
  *systems(): Iterable<{ readonly system: string; readonly traffic: SystemTraffic }> {
    for (const [system, { value }] of this.#traffic) yield { system, traffic: value };
  }

  *endpoints(): Iterable<{ readonly system: string; readonly endpoint: Endpoint }> {
    for (const [key, { value }] of this.#endpoints) yield { system: systemOf(key), endpoint: value };
  }

  /** Asks endpoints how they are, where that is declared and due. `nowMs`: monotonic. */
  checkHealth(nowMs: number): void {
    for (const [key, { value: endpoint }] of this.#endpoints) {
      const usedMs = this.#traffic.get(systemOf(key))?.value.usedMs ?? Number.NEGATIVE_INFINITY;
      const calls = endpoint.health.isAskedOverGrpc ? this.#calls.get(key)?.value : undefined;
      endpoint.health.tick(calls ?? endpoint.pool, { nowMs, usedMs });
    }
  }

  /** Waits for every pool that was let go. */
  async closed(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  #open(system: CompiledSystem, place: UpstreamPlace): Endpoint {
    const rules = system.upstream?.rules;
    const pool = this.#dialer.upstream(place.origin, this.#optionsOf(system, place));
    const { ca, allowPrivate } = system.object.upstream ?? {};
    const at = { origin: place.origin, place: JSON.stringify([system.id, place.origin, ca, allowPrivate]) };
    return new Endpoint(at, pool, rules?.breaker ?? null);
  }

  /** One connection for all calls there. */
  #takeCalls(key: string, system: CompiledSystem, place: UpstreamPlace): UpstreamPool {
    return take(this.#calls, key, () => this.#dialer.upstreamHttp2(place.origin, this.#optionsOf(system, place)));
  }

  #optionsOf(system: CompiledSystem, place: UpstreamPlace): DialOptions {
    const declared = system.object.upstream;
    return {
      rules: {
        allowPrivateHosts: new Set(declared?.allowPrivate ? [place.host] : []),
        ownAddresses: this.#ownAddresses(),
      },
      ...(declared === undefined ? {} : this.#tlsOf(system.id, declared)),
      connectionsMax: connectionsPerProviderMax,
      connectTimeoutMs: system.upstream?.rules.connectMs ?? connectTimeoutMs,
    };
  }

  #tlsOf(system: string, { ca, certificate }: UpstreamObject): Pick<DialOptions, "tls"> {
    if (ca === undefined && certificate === undefined) return {};
    const shown = certificate === undefined ? {} : shownCertificate(certificate, { system, keys: this.#keys });
    return { tls: { ...(ca === undefined ? {} : { ca }), ...shown } };
  }

  #takeDecisions({ url, allowPrivate }: OutsideDecisionObject): string {
    const key = JSON.stringify([url, allowPrivate]);
    const { origin, hostname } = new URL(url);
    const rules = { allowPrivateHosts: new Set(allowPrivate ? [hostname] : []), ownAddresses: this.#ownAddresses() };
    const options = { rules, connectionsMax: connectionsPerDecisionPointMax, connectTimeoutMs };
    take(this.#decisions, key, () => this.#dialer.upstream(origin, options));
    return key;
  }

  #drop(key: string): void {
    this.#close(drop(this.#endpoints, key)?.pool ?? null);
  }

  #close(pool: UpstreamPool | null): void {
    if (pool === null) return;
    const closing = pool.close();
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }
}

/** What decides where and how its sockets are made; with another of them it is another endpoint. */
function keyOf(system: CompiledSystem, place: UpstreamPlace): string {
  const declared = system.object.upstream;
  const connectMs = system.upstream?.rules.connectMs;
  const { ca, certificate, allowPrivate } = declared ?? {};
  return JSON.stringify([system.id, place.origin, ca, certificate, allowPrivate, connectMs]);
}

/** Ids have no quotation mark. */
function systemOf(key: string): string {
  return key.slice(2, key.indexOf('"', 2));
}

function take<T>(held: Map<string, Held<T>>, key: string, open: () => T): T {
  const one = held.get(key) ?? { value: open(), holders: 0 };
  one.holders++;
  held.set(key, one);
  return one.value;
}

/** The value, where that was the last hold on it. */
function drop<T>(held: Map<string, Held<T>>, key: string): T | null {
  const one = held.get(key);
  if (one === undefined || --one.holders > 0) return null;
  held.delete(key);
  return one.value;
}
