// Promises a control plane in this process with its real store, log and sockets, and an operator's calls to it; for tests. Trusts nothing.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Control, startControl } from "@sallyport/control/control.ts";
import type { OpenDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { openAdminClient } from "./admin-connection.ts";
import { freePorts } from "./port-lane.test-support.ts";
import { systemClock, systemRandom } from "./roles/system-ports.ts";

export type Files = Readonly<Record<string, string>>;
export interface Applied {
  readonly created: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}
export interface Status {
  readonly inactive: readonly { readonly id: string; readonly environment: string; readonly state: string }[];
  readonly groups: readonly {
    readonly environment: string;
    readonly group: string;
    readonly epoch: number;
    readonly version: number;
    readonly broken: readonly { readonly object: string; readonly file: string; readonly line: number }[];
  }[];
}

export const folder = mkdtempSync(join(tmpdir(), "sallyport-control-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let directories = 0;
export const integration = "orders-to-billing";

export class Bench {
  readonly data = join(folder, String(directories++));
  readonly faults: object[] = [];
  readonly #store: { readonly url: string; readonly schema?: string } | null;
  #ports: readonly number[] = [];
  #control: Control | null = null;

  constructor(open: OpenDialect) {
    const place = open.newPlace();
    this.#store = "url" in place ? place : null;
  }

  async start(): Promise<Control> {
    if (this.#ports.length === 0) this.#ports = await freePorts(3);
    const [identity = 0, channel = 0, admin = 0] = this.#ports;
    const place = (port: number) => ({ host: "127.0.0.1", port, url: null });
    const error = (fields: object) => this.faults.push(fields);
    this.#control = await startControl({
      ...{ tenant: "main", region: "default", dataDirectory: this.data, checkpointCopy: null },
      storeUrl: this.#store?.url ?? null,
      ...(this.#store?.schema === undefined ? {} : { storeSchema: this.#store.schema }),
      ...{ identity: place(identity), channel: place(channel), admin: place(admin) },
      ...{ clock: systemClock, random: systemRandom, logger: { info: () => undefined, warn: () => undefined, error } },
      ...{ snapshotLifetimeMs: 3_600_000, heartbeatMs: 1_000, rotateEveryMs: 86_400_000 },
    });
    return this.#control;
  }

  async stop(): Promise<void> {
    await this.#control?.stop();
    this.#control = null;
  }

  call<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
    return openAdminClient(join(this.data, "operator.key.json")).call<T>(method, path, body);
  }

  apply(files: Files): Promise<Applied> {
    return this.call("POST", "/v1/estate/apply", { files });
  }

  async version(group = "production-default"): Promise<number> {
    const { groups } = await this.call<Status>("GET", "/v1/status");
    return groups.find((one) => one.group === group)?.version ?? -1;
  }

  async state(): Promise<string | undefined> {
    const all = await this.call<{ id: string; state: string }[]>("GET", "/v1/integrations");
    return all.find(({ id }) => id === integration)?.state;
  }

  /** Signing keys of an environment, as its issuer publishes them. */
  async kids(environment = "production"): Promise<readonly string[]> {
    const url = `${this.issuer(environment)}/jwks`;
    const { keys } = JSON.parse(await this.get(url)) as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  }

  /** Roots of control's own listeners, PEM. */
  get ca(): string {
    return readFileSync(join(this.data, "ca", "control.pem"), "utf8");
  }

  /** `https://127.0.0.1:<port>/main/<environment>`. */
  issuer(environment = "production"): string {
    return `https://127.0.0.1:${this.#ports[0]}/main/${environment}`;
  }

  get(url: string): Promise<string> {
    const { ca } = this;
    return new Promise((resolve, reject) => {
      const request = get(url, { ca, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve(text));
      });
      request.on("error", reject);
    });
  }

  /** Every administrative leaf in control's log, as text: read from the write-ahead log, which holds the leaves as they are. */
  leaves(): readonly { readonly id: string; readonly action: string; readonly object: string }[] {
    const log = join(this.data, "log");
    const years = readdirSync(log).filter((name) => /^\d{4}$/.test(name));
    const bytes = years.flatMap((year) =>
      readdirSync(join(log, year, "wal")).map((name) => readFileSync(join(log, year, "wal", name), "latin1")),
    );
    return bytes.flatMap((text) =>
      [...text.matchAll(/\{"v":1,"t":"admin"[^{}]*\}/g)].map(([leaf]) => JSON.parse(leaf)),
    );
  }
}
