// Promises an installation in processes of its own for the soaks, with load flowing through its gateway and every answer counted.
// Trusts the harness of the end-to-end tests, which is the same. Specified in docs/control.md "Soaks".
import { type Caller, Installation, type Served } from "sallyport/installation.test-support.ts";

export interface SoakOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Rounds at most; null: as many as fit into the minutes. */
  readonly rounds: number | null;
}

export interface Running {
  readonly installation: Installation;
  readonly control: Served;
  readonly gateway: Served;
}

export interface MoreEstate {
  /** Files beside those of the tiny estate. */
  readonly files: Readonly<Record<string, string>>;
  /** `environments:` of sallyport.yaml, with its content. */
  readonly environments: string;
}

/** Starts everything, runs, and leaves nothing behind. */
export async function withInstallation<T>(work: (running: Running) => Promise<T>, more?: MoreEstate): Promise<T> {
  const installation = await Installation.open();
  try {
    if (more !== undefined) {
      const root = installation.files()["sallyport.yaml"] ?? "";
      installation.writeEstate({ ...more.files, "sallyport.yaml": `${root}${more.environments}` });
    }
    const control = await installation.startControl();
    const gateway = await installation.startGateway();
    installation.trustRoots();
    return await work({ installation, control, gateway });
  } finally {
    await installation.close();
  }
}

export interface Load {
  readonly answered: () => number;
  /** The first 20 failures, and how many there were. */
  readonly failures: () => { readonly count: number; readonly first: readonly string[] };
  stop(): Promise<void>;
}

const failuresShown = 20;

/** Calls in `workers` loops until stopped; whatever is not a 200 with a whole body is a failure. */
export function startLoad(caller: Caller, workers: number): Load {
  let isStopped = false;
  let answered = 0;
  let failed = 0;
  const first: string[] = [];
  const fail = (why: string) => {
    failed += 1;
    if (first.length < failuresShown) first.push(why);
  };
  const loop = async () => {
    while (!isStopped) {
      try {
        const response = await caller.fetch("/billing/v1/invoices/in-1");
        const body = await response.text();
        if (response.status === 200 && body === '{"ok":true}') answered += 1;
        else fail(`${response.status} ${body.slice(0, 200)}`);
      } catch (error) {
        fail(`${String(error)} ${error instanceof Error ? String(error.cause ?? "") : ""}`);
      }
    }
  };
  const loops = Array.from({ length: workers }, loop);
  return {
    answered: () => answered,
    failures: () => ({ count: failed, first }),
    stop: async () => {
      isStopped = true;
      await Promise.all(loops);
    },
  };
}

/** Mulberry32: the same seed, the same choices. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The value below which this part of all lies; NaN for none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** An operator's access token lives five minutes; the client is opened anew before that. */
export function freshOperator(installation: Installation): () => ReturnType<Installation["operator"]> {
  const reopenMs = 60_000;
  let client = installation.operator();
  let openedMs = performance.now();
  return () => {
    if (performance.now() - openedMs > reopenMs) {
      client = installation.operator();
      openedMs = performance.now();
    }
    return client;
  };
}
