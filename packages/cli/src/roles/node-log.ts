// Promises the log of a gateway node in its own thread, and its checkpoints kept where the node cannot quietly take them back.
// Trusts kernel/log. Specified in docs/audit.md.
import { join } from "node:path";
import { type Shipper, startShipping } from "@sallyport/gateway/archive/shipper.ts";
import type { ShownCheckpoints } from "@sallyport/gateway/archive/shown-checkpoints.ts";
import type { ChannelTransport } from "@sallyport/gateway/channel/feed.ts";
import type { NodeIdentity } from "@sallyport/gateway/join/node-identity.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
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
  readonly shown: ShownCheckpoints;
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
    shown: options.shown,
    random: systemRandom,
    fault,
  });
}

const logOf = (dataDirectory: string): string => join(dataDirectory, "log");

/** Sends a checkpoint to control whenever the log has grown; returns how to stop. */
export function shareCheckpoints(options: {
  readonly log: OpenedLog;
  readonly channel: Pick<ChannelTransport, "post">;
  readonly shown: ShownCheckpoints;
  readonly logger: RoleLogger;
}): () => void {
  const { log, channel, shown, logger } = options;
  let shared = -1;
  const share = async () => {
    if (log.size() === shared) return;
    const size = log.size();
    const note = await log.checkpoint();
    const { origin, verifierKey: key } = log;
    const signed = parseCheckpointBody(parseNote(note)?.text ?? "");
    await shown.show({ origin, size: signed?.size ?? 0 }, () =>
      channel.post("/channel/v1/up", JSON.stringify({ t: "checkpoint", origin, note, key })),
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
