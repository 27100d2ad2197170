// Promises which provider a path on the gateway belongs to, so that the token is for that one alone. Pure.
// Trusts the estate's public paths. The gateway decides for itself again; a wrong guess here is a refused token, never a wider one.
import type { SystemConfig } from "@sallyport/control/registry/config/estate.ts";

export interface Provider {
  readonly id: string;
  /** The Host the gateway serves it under, where it has one of its own. */
  readonly host: string | null;
}

export type FindProvider = (path: string) => Provider | null;

/** The system with the longest public path that leads to `path`, of all or of the only one allowed. */
export function createFindProvider(
  systems: readonly Pick<SystemConfig, "id" | "public">[],
  only: string | null,
): FindProvider {
  const able = systems
    .filter(({ id }) => only === null || id === only)
    .sort((a, b) => b.public.path.length - a.public.path.length);
  return (path) => {
    const found = able.find(({ public: at }) => at.path === "/" || path === at.path || path.startsWith(`${at.path}/`));
    return found === undefined ? null : { id: found.id, host: found.public.host ?? null };
  };
}

export type AskProvider = (path: string) => Promise<Provider | null>;

/** An estate is read again for a path that is nobody's, once in this time at most. */
export const rereadMsMin = 1_000;

/** A system that was added since the proxy began is found by its first request. Where the estate cannot be read now, what was known stays. */
export function relearning(first: FindProvider, read: () => Promise<FindProvider>, nowMs: () => number): AskProvider {
  let find = first;
  let readAtMs = nowMs();
  return async (path) => {
    const found = find(path);
    if (found !== null || nowMs() - readAtMs < rereadMsMin) return found;
    readAtMs = nowMs();
    find = await read().catch(() => find);
    return find(path);
  };
}

/** Without an estate: every path belongs to the one provider that was named. */
export function onlyProvider(id: string): FindProvider {
  return () => ({ id, host: null });
}
