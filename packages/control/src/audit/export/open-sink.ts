// Promises the sink that its settings describe, over the guarded dialer. Trusts the settings. Specified in docs/export.md "Receivers".
import { randomUUID } from "node:crypto";
import { write } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import { elasticReceiver } from "./elastic.ts";
import { fileSink, stdoutSink } from "./file-sink.ts";
import { httpSink } from "./http-sink.ts";
import { otlpReceiver } from "./otlp.ts";
import type { Sink } from "./sink.ts";
import type { SinkSettings } from "./sink-settings.ts";
import { splunkSink } from "./splunk-sink.ts";
import { syslogSink } from "./syslog-sink.ts";
import { webhookReceiver } from "./webhook.ts";

export interface SinkPorts {
  readonly dialer: Dialer;
  readonly now: () => number;
}

const logAudit = 13;
const standardOutput = 1;
const fullPauseMs = 50;
const fullMsMax = 10_000;

export function openSink({ name, format, target }: SinkSettings, { dialer, now }: SinkPorts): Sink {
  if (target.to === "stdout") return stdoutSink(writeOut);
  if (target.to === "file") return fileSink(target);
  if (target.to === "syslog")
    return syslogSink({ enterprise: target.enterprise, facility: logAudit, bare: format === "leaf" }, target.place);
  const place = { ...target.place, dialer, now };
  switch (target.to) {
    case "splunk":
      // Acknowledgements are counted in a channel: a new one for each opening, so that none of before is taken for ours.
      return splunkSink(
        { ...target, channel: target.ack ? randomUUID() : null },
        { ...place, pause: (ms) => delay(ms) },
      );
    case "elastic":
      return httpSink(elasticReceiver(target), place);
    case "otlp":
      return httpSink(otlpReceiver(target), place);
    case "webhook":
      return httpSink(webhookReceiver({ path: target.path, sink: name, key: target.key }), place);
  }
}

/** Every byte, or a rejection after ten seconds of a full pipe. The operating system's write: it holds up no other fold. */
async function writeOut(text: string): Promise<void> {
  const bytes = Buffer.from(text, "latin1");
  const endsAt = performance.now() + fullMsMax;
  for (let from = 0; from < bytes.length; ) {
    const written = await writeSome(bytes.subarray(from));
    from += written;
    if (written > 0) continue;
    if (performance.now() > endsAt) throw Object.assign(new Error("nobody reads standard output"), { code: "EAGAIN" });
    await delay(fullPauseMs);
  }
}

function writeSome(bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    write(standardOutput, bytes, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === "EAGAIN") resolve(0);
      else reject(error);
    });
  });
}
