// A fold for tests of the thread: counts records in a file, fails as it is told to, asks control.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FoldMaker } from "./fold.ts";

interface CountingOptions {
  readonly refuse?: string;
  readonly file: string;
  /** A service of control it needs before it can begin. */
  readonly asks?: string;
}

export const makeFold: FoldMaker = async (id, options, host) => {
  // The test that orders it says these.
  const { refuse, file, asks } = options as CountingOptions;
  if (asks !== undefined) await host.call(asks, id);
  if (refuse !== undefined) throw new Error(refuse);
  const path = join(host.dataDirectory, file);
  const kept = (): [string, number][] => {
    try {
      return JSON.parse(readFileSync(path, "utf8"));
    } catch {
      return [];
    }
  };
  const places = new Map(kept());
  return {
    id,
    places: async () => places,
    take: async ({ origin, records }) => {
      places.set(origin.origin, (places.get(origin.origin) ?? 0) + records.length);
      writeFileSync(path, JSON.stringify([...places]));
    },
    answer: async (question) => {
      if (question === "die")
        setImmediate(() => {
          throw new Error("a bug of a fold");
        });
      if (question === "control") return host.call("greet", id);
      if (question === "nobody") return host.call("nobody", id);
      return [...places.values()];
    },
    close: async () => {},
  };
};
