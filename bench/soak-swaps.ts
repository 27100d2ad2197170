// Promises the count of failed requests while the configuration changes again and again under load. Trusts the gateway's own line for the moment a
// snapshot is in force, and the callers' answers for everything else. Specified in docs/control.md "Soaks".
import { tinyGrant } from "sallyport/installation.test-support.ts";
import { freshOperator, type SoakOptions, seeded, startLoad, withInstallation } from "./soak-installation.ts";

export interface SwapFigures {
  readonly soak: "swaps";
  readonly seed: number;
  /** Snapshots the gateway put in force. */
  readonly swaps: number;
  readonly requests: number;
  readonly failed: number;
  readonly failures: readonly string[];
  readonly seconds: number;
  readonly ok: boolean;
}

interface Applied {
  readonly changed: readonly string[];
  readonly findings: readonly unknown[];
}

const workers = 8;
const swapsMax = 1_000;

/** Applies one change after the other, each waited for until the gateway obeys it. */
export function runSwaps({ seed, minutes, rounds }: SoakOptions): Promise<SwapFigures> {
  return withInstallation(async ({ installation, gateway }) => {
    const random = seeded(seed);
    const operator = freshOperator(installation);
    const load = startLoad(installation.caller(), workers);
    const startedMs = performance.now();
    const endMs = startedMs + minutes * 60_000;
    const versionNow = () => Math.max(0, ...gateway.lines.map(({ version }) => Number(version ?? 0)));
    const first = versionNow();
    let timeoutMs = 1_000;
    let swaps = 0;
    while (swaps < (rounds ?? swapsMax) && performance.now() < endMs) {
      // Never the same one twice in a row: each apply is a change.
      timeoutMs = 1_000 + ((timeoutMs - 1_000 + 1 + Math.floor(random() * 8_000)) % 9_000);
      const files = installation.files({ "integrations/orders-to-billing.yaml": tinyGrant(`${timeoutMs}ms`) });
      const { changed, findings } = await operator().call<Applied>("POST", "/v1/estate/apply", { files });
      if (changed.length !== 1 || findings.length > 0)
        throw new Error(`not one sound change: ${JSON.stringify({ changed, findings })}`);
      swaps += 1;
      const wanted = first + swaps;
      await gateway.line(({ msg, version }) => msg === "snapshot in force" && Number(version) >= wanted);
    }
    await load.stop();
    const { count, first: failures } = load.failures();
    return {
      soak: "swaps",
      seed,
      swaps: versionNow() - first,
      requests: load.answered() + count,
      failed: count,
      failures,
      seconds: Math.round((performance.now() - startedMs) / 100) / 10,
      ok: count === 0 && versionNow() - first === swaps && swaps > 0,
    };
  });
}
