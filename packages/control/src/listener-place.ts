// Promises where a listener of control stands, and the names and the origin it is reached by. Pure. Trusts its options.
// Described in docs/deploy.md.

export interface Place {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Client-facing origin; null: what is bound. */
  readonly url: string | null;
}

/** Names its certificate is for. */
export function hostsOf({ host, url }: Place): readonly string[] {
  const named = url === null ? [] : [new URL(url).hostname];
  const bound = host === "0.0.0.0" || host === "::" ? [] : [host];
  return [...named, ...bound, "localhost", "127.0.0.1"];
}

/** The origin of what is bound. */
export function originOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" || host === "::" ? "localhost" : host;
  return `https://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
