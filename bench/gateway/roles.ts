// Promises the words the processes of this bench use with one another, in one place. Trusts nothing; holds no code but constants.
// Who says what: bare-proxy.ts and measured-gateway.ts are measured, load.ts measures, upstream.ts stands behind both, hostile-clients.ts holds on.
// Format: JSON.

/** What a caller of a variant proves, and what it asks for. */
export type Credential = "cached-bearer" | "fresh-bearer" | "fresh-dpop";

export interface Target {
  readonly port: number;
  readonly method: "GET" | "POST";
  readonly credential: Credential;
  /** Each request has an idempotency key of its own; absent: none has one. */
  readonly keys?: true;
  /** Content of a good answer; absent: the upstream's. */
  readonly expected?: string;
}

export interface Window {
  readonly target: Target;
  readonly connections: number;
  readonly durationMs: number;
}

export interface WindowResult {
  readonly answers: number;
  /** Requests begun in time, until the last of them was answered. */
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were not a whole 200 with the upstream's content, or connections lost. Any makes the bench fail. */
  readonly errors: number;
  readonly firstError: string | null;
}

/** What a measured process has used since its start. */
export interface Usage {
  readonly cpuMs: number;
  /** Of these, in the kernel. */
  readonly systemMs: number;
  readonly residentBytes: number;
  /** Durable leaves; 0 where nothing is recorded. */
  readonly leaves: number;
}

export const hostileKinds = ["slow-head", "slow-body", "slow-read", "huge-head"] as const;
export type HostileKind = (typeof hostileKinds)[number];

/** What became of the connections of one kind of hostile client. */
export interface HostileEnds {
  readonly opened: number;
  /** Status of the answer, or `closed` without one, or `held` when the clients were told to stop; how often. */
  readonly ends: Readonly<Record<string, number>>;
  /** Of the longest. One that reads nothing counts from when something of it was last taken: before, it is served. */
  readonly longestMs: number;
}

export interface BarePorts {
  readonly plain: number;
  /** The same proxy, which also verifies one ES256 signature per request. */
  readonly verifying: number;
}

export const invoice = '{"amount":4200,"customer":"c-1042"}';
export const upstreamContent =
  '{"id":"inv-1042","amount":4200,"currency":"EUR","customer":"c-1042","state":"open","due":"2026-12-22"}';
/** Different resources asked for, one after the other. */
export const invoices = 512;
export const bearerClient = "orders";
export const dpopClient = "shop";
