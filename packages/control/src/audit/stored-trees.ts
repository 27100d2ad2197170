// Promises the state of control's witness in the store, shared by all control nodes: of two that began from one state, one is kept.
// Trusts the store's compare-and-swap (witness-store.ts). Specified in docs/witnesses.md "Who witnesses whom".
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { WitnessedLog, WitnessState } from "@sallyport/kernel/witness/witness.ts";
import { originHash, type WitnessedTree } from "@sallyport/protocol/audit/witness-request.ts";
import type { ControlCommands } from "../commands.ts";
import type { TreeRow, WitnessedRow } from "./witness-store.ts";

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const rowOf = ({ size, root }: WitnessedTree): TreeRow => ({ size, root: base64(root) });
const treeOf = ({ size, root, note, logKey }: WitnessedRow): WitnessedLog => ({
  size,
  root: Buffer.from(root, "base64"),
  note,
  logKey,
});

/** The state of control's witness, shared by all control nodes. */
export function storedTrees(store: Pick<Store<ControlCommands>, "run">): WitnessState {
  return {
    find: async (origin) => {
      const row = await store.run("findWitnessed", { origin });
      return row === null ? null : treeOf(row);
    },
    replace: (origin, last, { note, logKey, ...tree }) =>
      store.run("keepWitnessed", {
        hash: originHash(sha256, origin),
        last: last === null ? null : rowOf(last),
        next: { origin, ...rowOf(tree), note, logKey },
      }),
  };
}
