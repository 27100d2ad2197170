// Promises to say which provider is not up, once, and when it is: an estate is often tried before what it protects was started.
// Trusts the guarded probe; sends nothing. Specified in docs/cli/dev.md "Providers".
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import { type ProbeReport, probeOrigin } from "@sallyport/kernel/dial/probe.ts";
import { servedEnvironment } from "./local-estate.ts";

const everyMs = 2_000;
const probeTimeoutMs = 1_500;

export interface Upstream {
  readonly system: string;
  readonly origin: string;
  readonly allowPrivate: boolean;
  readonly ca: string | null;
}

/** The providers of an environment. Pure. */
export function upstreamsOf(environment: ReturnType<typeof servedEnvironment>): readonly Upstream[] {
  if (environment === null) return [];
  return environment.systems.flatMap(({ id, upstream }) => {
    if (upstream === undefined) return [];
    const roots = environment.trust.find(({ name }) => name === upstream.trust)?.roots;
    const ca = roots === undefined ? null : roots.join("\n");
    return [{ system: id, origin: new URL(upstream.url).origin, allowPrivate: upstream.allowPrivate, ca }];
  });
}

/** One guarded connection, closed at once. */
export function probeUpstream({ origin, allowPrivate, ca }: Upstream, timeoutMs: number): Promise<ProbeReport> {
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, "");
  const rules = { allowPrivateHosts: new Set(allowPrivate ? [host] : []), ownAddresses: new Set<string>() };
  return probeOrigin(origin, {
    rules,
    timeoutMs,
    ...(ca === null || !origin.startsWith("https:") ? {} : { tls: { ca } }),
  });
}

export class UpstreamWatch {
  readonly #say: (upstream: Upstream, report: ProbeReport) => void;
  readonly #down = new Set<string>();
  #upstreams: readonly Upstream[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** `say` is told when one is down, and when one that was is up. */
  constructor(say: (upstream: Upstream, report: ProbeReport) => void) {
    this.#say = say;
  }

  /** Looks at these from now on, at once and then only at those that are down. */
  watch(loaded: LoadedEstate): void {
    const before = new Set(this.#upstreams.map(keyOf));
    this.#upstreams = upstreamsOf(servedEnvironment(loaded));
    void this.#look(this.#upstreams.filter((one) => !before.has(keyOf(one))));
    this.#timer ??= setInterval(() => {
      void this.#look(this.#upstreams.filter((one) => this.#down.has(keyOf(one))));
    }, everyMs).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#upstreams = [];
  }

  async #look(upstreams: readonly Upstream[]): Promise<void> {
    for (const upstream of upstreams) {
      const report = await probeUpstream(upstream, probeTimeoutMs);
      const key = keyOf(upstream);
      const isNews =
        this.#upstreams.some((one) => keyOf(one) === key) && (report.kind === "failed") !== this.#down.has(key);
      if (report.kind === "failed") this.#down.add(key);
      else this.#down.delete(key);
      if (isNews) this.#say(upstream, report);
    }
  }
}

function keyOf({ system, origin, allowPrivate, ca }: Upstream): string {
  return JSON.stringify([system, origin, allowPrivate, ca]);
}
