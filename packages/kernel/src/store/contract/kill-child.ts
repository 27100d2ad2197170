// For tests: increments a counter as fast as it can and prints each acknowledged value, until somebody kills it.
// Trusts its two arguments: database file, commands module.
import { openStore } from "../open.ts";
import type { ContractCommands } from "./commands.ts";

const [path = "", commands = ""] = process.argv.slice(2);
const store = await openStore<ContractCommands>({ path, commands: new URL(commands) });
const incrementsMax = 100_000;
const lane = async () => {
  for (let count = 0; count < incrementsMax; count += 1)
    process.stdout.write(`${await store.run("increment", { name: "hot" })}\n`);
};
await Promise.all([lane(), lane(), lane(), lane()]);
