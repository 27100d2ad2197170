// Promises what is served, what is not and why, and which gateways obey which snapshot.
// Trusts control's admin API. Specified in docs/cli.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";

interface ControlStatus {
  readonly version: string;
  readonly ready: boolean;
  readonly groups: readonly {
    readonly environment: string;
    readonly group: string;
    readonly epoch: number;
    readonly version: number;
    readonly expiresAt: number;
    readonly broken: readonly {
      readonly object: string;
      readonly file: string;
      readonly line: number;
      readonly why: string;
    }[];
  }[];
  readonly gateways: readonly {
    readonly node: string;
    readonly group: string;
    readonly state: string;
    readonly connected: boolean;
    readonly snapshot: { readonly epoch: number; readonly version: number } | null;
    readonly refusal: string | null;
  }[];
  readonly inactive: readonly { readonly id: string; readonly environment: string; readonly state: string }[];
  readonly warnings: readonly string[];
}

/** `sallyport status`: exit 1 when something is not served or a gateway is away. */
export function statusCommand(program: Command, connect: Connect): void {
  program
    .command("status")
    .description("what is served, what is not and why, and which gateways are connected")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const status = await client.call<ControlStatus>("GET", "/v1/status");
      terminal.result(status, () => words(status));
      const troubled =
        status.groups.some((group) => group.broken.length > 0) ||
        status.inactive.length > 0 ||
        status.gateways.some((gateway) => gateway.state === "active" && !gateway.connected);
      if (!status.ready || troubled) throw new CommandEnd(exitCode.no, "");
    });
}

function words(status: ControlStatus): readonly string[] {
  const lines = [`control ${status.version}: ${status.ready ? "ready" : "not ready"}`];
  for (const group of status.groups) {
    lines.push(
      `group ${group.group} (${group.environment}): snapshot ${group.epoch}.${group.version}, until ${new Date(group.expiresAt).toISOString()}`,
    );
    for (const broken of group.broken)
      lines.push(`  not served: ${broken.object}  ${broken.file}:${broken.line}  ${broken.why}`);
  }
  for (const { id, environment, state } of status.inactive)
    lines.push(`not served: integration/${id} (${environment}) is ${state}`);
  for (const gateway of status.gateways) {
    const snapshot =
      gateway.snapshot === null ? "no snapshot yet" : `snapshot ${gateway.snapshot.epoch}.${gateway.snapshot.version}`;
    lines.push(
      `gateway ${gateway.node} (${gateway.group}): ${gateway.state}, ${gateway.connected ? "connected" : "away"}, ${snapshot}${gateway.refusal === null ? "" : `, refused: ${gateway.refusal}`}`,
    );
  }
  return [...lines, ...status.warnings.map((warning) => `warning: ${warning}`)];
}
