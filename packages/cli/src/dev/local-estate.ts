// Promises an estate as `dev` serves it: on loopback, at once, in one region; and which listeners that takes. Pure.
// Trusts the loader. Specified in docs/cli/dev.md "What dev changes".
import type { EnvironmentConfig, LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import type { Place } from "@sallyport/control/registry/config/finding.ts";
import { spotOf } from "@sallyport/control/registry/config/yaml-tree.ts";

/** The environment dev serves: production where there is one, else the first. */
export function servedEnvironment(loaded: LoadedEstate): EnvironmentConfig | null {
  const { environments } = loaded.estate;
  return environments.find(({ name }) => name === "production") ?? environments[0] ?? null;
}

/** Names of the gateway listeners to open, at least one. */
export function listenersOf(loaded: LoadedEstate): readonly string[] {
  const names = servedEnvironment(loaded)?.listeners.map(({ name }) => name) ?? [];
  return names.length === 0 ? ["public"] : names;
}

/** A listener of the estate that is not open, or one that is open and no longer in it: dev opens them at its start. */
export interface StrayListener extends Pick<Place, "file" | "line"> {
  readonly listener: string;
  readonly is: "not-open" | "not-declared";
}

/** `open`: names of the listeners that were opened at the start. */
export function strayListeners(loaded: LoadedEstate, open: Iterable<string>): readonly StrayListener[] {
  const declared = listenersOf(loaded);
  const opened = [...open];
  const { root } = loaded.sources;
  const placed = (is: StrayListener["is"], listener: string): StrayListener => {
    // Of one that is gone the nearest place there is: where it would stand.
    const spot = root === null ? null : spotOf(root, ["listeners", listener], "key");
    return { listener, is, file: spot?.file ?? "sallyport.yaml", line: spot?.line ?? 1 };
  };
  return [
    ...declared.filter((name) => !opened.includes(name)).map((name) => placed("not-open", name)),
    ...opened.filter((name) => !declared.includes(name)).map((name) => placed("not-declared", name)),
  ];
}

/** Callers call the proxy that asks there, wherever dev listens; services call the listener itself. */
function isBefore({ authorizer }: EnvironmentConfig["listeners"][number]): boolean {
  return authorizer !== undefined && authorizer.proxy !== "services";
}

/** Approval is nobody's on a laptop, and listeners are where they are opened. `urls`: listener -> origin. */
export function asLocal(loaded: LoadedEstate, urls: ReadonlyMap<string, string>): LoadedEstate {
  const environments = loaded.estate.environments.map(
    (environment): EnvironmentConfig => ({
      ...environment,
      approval: "none",
      // No balancer stands before them here.
      listeners: environment.listeners.map(({ proxyProtocol: _, ...listener }) => ({
        ...listener,
        region: null,
        url: isBefore(listener) ? listener.url : (urls.get(listener.name) ?? listener.url),
      })),
    }),
  );
  return { ...loaded, estate: { ...loaded.estate, environments } };
}
