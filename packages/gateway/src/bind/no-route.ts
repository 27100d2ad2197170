// Promises operators, for a request that belongs to nobody, what is published and what came: proxies rewrite hosts and paths. Pure.
// Facts go to the sealed reference alone; the caller reads only `detail`.
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import { compared } from "@sallyport/protocol/verdict.ts";
import type { CompiledSystem, Estate } from "../snapshot/estate.ts";

const shownMax = 8;

export function noRouteFacts(
  request: Pick<CanonicalRequest, "method" | "host" | "path">,
  { estate, system }: { readonly estate: Pick<Estate, "systems">; readonly system: CompiledSystem | null },
): Readonly<Record<string, string>> {
  const offered =
    system === null
      ? [...estate.systems.values()]
          .filter(({ operations }) => operations.length > 0)
          .map((one) => `${addressOf(one)} (${one.id})`)
      : system.operations.map(({ method, path }) => `${method} ${path}`);
  const shown = offered.slice(0, shownMax).join(", ");
  const more = offered.length > shownMax ? ` and ${offered.length - shownMax} more` : "";
  return compared(
    offered.length === 0 ? "nothing is published" : `one of ${shown}${more}`,
    `${request.method} ${request.host}${request.path}`,
  );
}

function addressOf({ public: { host, path } }: CompiledSystem): string {
  return `${host ?? "any host"}${path}`;
}
