// Promises the log of a gateway node in its own thread, and its checkpoints kept where the node cannot quietly take them back.
// Trusts kernel/log. Specified in docs/audit.md.
import { join } from "node:path";
import { type Shipper, startShipping } from "@sallyport/gateway/archive/shipper.ts";
import type { ChannelTransport } from "@sallyport/gateway/channel/feed.ts";
import type { NodeIdentity } from "@sallyport/gateway/join/node-identity.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { type OpenedLog, openLog } from "@sallyport/kernel/log/log-thread.ts";
import { version } from "../version.ts";
import type { RoleLogger } from "./running-role.ts";
import { systemRandom } from "./system-ports.ts";

/** How often the newest checkpoint is sent to control. */
const shareMs = 5_000;

/** Opens the log of a node. Throws LogFault with what to do. */
export function openNodeLog(options: {
  readonly dataDirectory: string;
  readonly checkpointCopy: string | null;
  readonly identity: NodeIdentity;
  readonly logger: RoleLogger;
  readonly ended: (fault: Error) => void;
}): Promise<OpenedLog> {
  const { tenant, environment, region, node } = options.identity;
  return openLog({
    directory: logOf(options.dataDirectory),
    identity: { tenant, environment, region, node, role: "gateway", version },
    ...(options.checkpointCopy === null ? {} : { checkpointCopies: options.checkpointCopy }),
    onEnded: options.ended,
    onAlarm: (fault) => options.logger.error({ code: fault.code, err: fault.message }, "the audit log met a fault"),
  });
}

/** Ships the log to control's archive; what keeps it from being shipped is said once. */
export function shipNodeLog(options: {
  readonly dataDirectory: string;
  readonly identity: NodeIdentity;
  readonly channel: Pick<ChannelTransport, "post">;
  readonly logger: RoleLogger;
}): Shipper {
  const fault = (error: unknown) =>
    options.logger.warn(
      { err: error instanceof Error ? error.message : String(error) },
      "the audit log is not shipped to control; its records stay here",
    );
  return startShipping({
    records: openHeldLogs({ directories: () => [logOf(options.dataDirectory)], fault }),
    node: options.identity,
    post: (path, body) => options.channel.post(path, body),
    random: systemRandom,
    fault,
  });
}

const logOf = (dataDirectory: string): string => join(dataDirectory, "log");

/** Sends a checkpoint to control whenever the log has grown; returns how to stop. */
export function shareCheckpoints(
  log: OpenedLog,
  transport: Pick<ChannelTransport, "post">,
  logger: RoleLogger,
): () => void {
  let shared = -1;
  const share = async () => {
    if (log.size() === shared) return;
    const size = log.size();
    const note = await log.checkpoint();
    await transport.post(
      "/channel/v1/up",
      JSON.stringify({ t: "checkpoint", origin: log.origin, note, key: log.verifierKey }),
    );
    shared = size;
  };
  const timer = setInterval(() => {
    share().catch((error: unknown) =>
      logger.warn(
        { err: error instanceof Error ? error.message : String(error) },
        "a checkpoint could not be kept at control",
      ),
    );
  }, shareMs);
  timer.unref();
  return () => clearInterval(timer);
}
