// Promises the connected gateways as witnesses of control's log, asked over the channel, each under the witness key it named first.
// Trusts the channel, which proves nodes. Specified in docs/formats/join.md "Witnesses".

import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { prove } from "@sallyport/kernel/log/prove.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { AskedWitness } from "@sallyport/kernel/witness/cosigning.ts";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import type { WitnessQuestion } from "@sallyport/protocol/channel/messages.ts";
import type { ControlCommands } from "../commands.ts";
import type { Hub } from "../gateways/hub.ts";

const askTimeoutMs = 3_000;
/** Gateways that are asked, the first by name: outside witnesses need room beside them. */
export const gatewayWitnessesMax = 8;

export interface GatewayWitnessesOptions {
  readonly hub: Hub;
  readonly log: OpenedLog;
  readonly store: Pick<Store<ControlCommands>, "run">;
}

/** Gateways as witnesses of control's log, asked over the channel. */
export class GatewayWitnesses {
  readonly #options: GatewayWitnessesOptions;
  readonly #directory: string;
  /** What each showed instead of cosigning. */
  readonly #kept = new Map<string, string | null>();

  constructor(options: GatewayWitnessesOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
  }

  asked(): readonly AskedWitness[] {
    const nodes = this.#options.hub.connected().map(({ node }) => node);
    return nodes
      .toSorted()
      .slice(0, gatewayWitnessesMax)
      .map((node) => this.#of(node));
  }

  #of(node: string): AskedWitness {
    return {
      name: node,
      // An empty request is a bad one (400): the answer names the key.
      key: async () => parseWitnessKey(sha256, (await this.#ask(node, "")).key),
      submit: (body) => this.#ask(node, body),
      kept: async () => this.#kept.get(node) ?? null,
    };
  }

  async #ask(node: string, body: string) {
    const { hub, log, store } = this.#options;
    const question = {
      key: log.verifierKey,
      body,
      begins: body.startsWith("old 0\n") ? this.#beginning(log.origin) : null,
    };
    const reply = await hub.askWitness(node, question, askTimeoutMs);
    if (reply === null) throw new Error("it does not answer");
    const key = await store.run("pinWitnessKey", { node, key: reply.key });
    if (key !== reply.key) throw new Error("it names another witness key than before");
    this.#kept.set(node, reply.kept);
    return reply;
  }

  #beginning(origin: string): WitnessQuestion["begins"] {
    const year = Number(origin.slice(origin.lastIndexOf("/") + 1));
    const { leaf, proof } = prove(this.#directory, { index: 0, year });
    return { leaf: Buffer.from(leaf).toString("latin1"), proof };
  }
}
