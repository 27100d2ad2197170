// Promises what is served, what is not and why, which gateways obey which snapshot, what is due, and where the log stands.
// Trusts control's admin API. Specified in docs/cli/status.md.
import type { ControlStatus } from "@sallyport/control/admin/actions.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";

const watchMs = 2_000;

/** `sallyport status`: exit 1 when something is not served or a gateway is away. */
export function statusCommand(program: Command, connect: Connect): void {
  program
    .command("status")
    .description("what is served, what is not and why, which gateways are connected, and what is due")
    .option("--watch", "say it again every two seconds until Ctrl-C", false)
    .addHelpText("after", "\nExample:\n  sallyport status --json | jq '.notices[] | {object, text, fix}'\n")
    .action(async ({ watch }: { readonly watch: boolean }, command: Command) => {
      const { client, terminal } = await connect(command);
      const { isTroubled, statusLines } = await import("../start/status-words.ts");
      const show = async () => {
        const status = await client.call<ControlStatus>("GET", "/v1/status");
        // One value per line when there are many.
        if (watch && terminal.json) process.stdout.write(`${JSON.stringify(status)}\n`);
        else terminal.result(status, () => statusLines(status));
        return status;
      };
      let status = await show();
      if (watch) status = await repeat(show, () => terminal.line("\n---"), status);
      if (isTroubled(status)) throw new CommandEnd(exitCode.no, "");
    });
}

/** Again and again until Ctrl-C; the last answer. */
async function repeat<T>(show: () => Promise<T>, between: () => void, first: T): Promise<T> {
  const ended = Promise.withResolvers<"ended">();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ended.resolve("ended"));
  let last = first;
  for (;;) {
    const next = Promise.withResolvers<"next">();
    const timer = setTimeout(() => next.resolve("next"), watchMs);
    const which = await Promise.race([ended.promise, next.promise]);
    clearTimeout(timer);
    if (which === "ended") return last;
    between();
    last = await show();
  }
}
