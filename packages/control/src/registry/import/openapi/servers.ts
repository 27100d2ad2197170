// Promises the one URL of a system from `servers`, or the one the caller named. Pure. Trusts words.ts for what a URL may be.
// Source: OpenAPI 3.1.1 "Server Object".
import { needsPrivateWord } from "../../config/private-hosts.ts";
import { upstreamUrl } from "../../config/words.ts";
import type { MapTree, Tree } from "../../config/yaml-tree.ts";
import type { Reporter } from "../import-report.ts";
import { itemsOf, mapOf, textOf } from "../tree-members.ts";

/** Stands where the source names no host. */
const nowhere = "http://127.0.0.1:8080";

export interface Server {
  readonly url: string;
  readonly isPrivate: boolean;
}

export function readServer(root: MapTree, on: { upstream: string | undefined; report: Reporter }): Server {
  const servers = itemsOf(root, "servers");
  const chosen = on.upstream ?? firstUrl(servers, on.report);
  if (chosen === null)
    on.report.changed(servers[0]?.at ?? root.at, "servers", {
      why: `no server with an absolute http or https URL, so \`url\` is ${nowhere}`,
      fix: "write where the API is served, or import again with --upstream",
    });
  const url = chosen ?? nowhere;
  for (const server of servers) {
    const written = withVariables(server);
    if (written !== null && absolute(written) === url) continue;
    on.report.lost(server.at, `server ${textOf(server, "url") ?? "?"}`, {
      why: "a system has one URL in an environment",
      fix: "if it is another environment, declare that under `environments`",
    });
  }
  return { url, isPrivate: needsPrivateWord(new URL(url).hostname) };
}

function firstUrl(servers: readonly Tree[], report: Reporter): string | null {
  for (const server of servers) {
    const written = withVariables(server);
    const url = written === null ? null : absolute(written);
    if (url === null) continue;
    report.mapped(server.at, `server ${textOf(server, "url") ?? ""}`, `url ${url}`);
    if (mapOf(server, "variables") !== undefined && textOf(server, "url")?.includes("{") === true)
      report.changed(server.at, `server ${textOf(server, "url") ?? ""}`, {
        why: "its variables have their defaults",
        fix: "write the host of your own",
      });
    return url;
  }
  return null;
}

/** Null where a variable has no default. */
function withVariables(server: Tree): string | null {
  const variables = mapOf(server, "variables");
  let isKnown = true;
  const url = textOf(server, "url")?.replaceAll(/\{([^{}]*)\}/g, (_whole, name: string) => {
    const value = textOf(variables?.entries.get(name)?.value, "default");
    isKnown &&= value !== undefined;
    return value ?? "";
  });
  return url === undefined || !isKnown ? null : url;
}

function absolute(written: string): string | null {
  const read = upstreamUrl().safeParse(written);
  return read.success ? read.data : null;
}
