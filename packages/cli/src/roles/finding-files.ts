// Promises that what a gateway's witness found is kept on its own disk, durable, and told to control until control has it: a control plane that was put
// back does not take it along. Trusts the disk. Specified in docs/witnesses.md "Findings".
import { hash } from "node:crypto";
import { join } from "node:path";
import { type Disk, makeDirectoriesDurably, readWhole, replaceDurably } from "@sallyport/kernel/log/disk.ts";
import type { LogFinding } from "@sallyport/kernel/witness/finding.ts";
import type { AskingTransport } from "./channel-transport.ts";
import type { RoleLogger } from "./running-role.ts";

/** Files of evidence; beyond it the log says so and no more are kept. */
export const findingFilesMax = 256;

export interface FindingFilesOptions {
  readonly channel: Pick<AskingTransport, "post">;
  readonly logger: RoleLogger;
}

/** Evidence in files, each told to control until it has it. */
export class FindingFiles {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #options: FindingFilesOptions;
  readonly #untold = new Set<string>();

  constructor(disk: Disk, folder: string, options: FindingFilesOptions) {
    this.#disk = disk;
    this.#folder = folder;
    this.#options = options;
    for (const name of disk.list(folder)) if (name.endsWith(".json")) this.#untold.add(name);
  }

  /** The first of each code, origin and witness stays. */
  keep(finding: LogFinding): void {
    const { code, origin, witness } = finding;
    this.#options.logger.error({ code, origin, witness }, "the history of a log contradicts what was cosigned of it");
    const name = `${code}-${hash("sha256", `${origin}\n${witness}`, "hex").slice(0, 16)}.json`;
    const names = this.#disk.list(this.#folder);
    if (names.includes(name) || names.length >= findingFilesMax) return;
    makeDirectoriesDurably(this.#disk, this.#folder);
    replaceDurably(this.#disk, join(this.#folder, name), Buffer.from(`${JSON.stringify(finding)}\n`));
    this.#untold.add(name);
  }

  /** Never rejects: what could not be told is told at the next round. */
  async tell(): Promise<void> {
    for (const name of [...this.#untold]) {
      const text = readWhole(this.#disk, join(this.#folder, name))?.toString("utf8");
      try {
        if (text !== undefined)
          await this.#options.channel.post("/channel/v1/up", JSON.stringify({ t: "log-finding", ...JSON.parse(text) }));
        this.#untold.delete(name);
      } catch {
        return;
      }
    }
  }
}
