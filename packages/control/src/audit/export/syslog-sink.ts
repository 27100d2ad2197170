// Promises records over one verified TLS connection, handed to the operating system and, at the end of each batch, to a receiver that was still there.
// Syslog acknowledges nothing: what was on the way when a connection broke may be lost, and is found by its index. Specified in docs/export.md "Syslog".
import type { Socket } from "node:net";
import { dialBytes } from "@sallyport/kernel/dial/byte-stream.ts";
import type { EncodedRecord } from "./encode.ts";
import { asSinkFault, type HttpPlace } from "./http-sink.ts";
import { type Sink, SinkFault } from "./sink.ts";
import { type SyslogOptions, syslogFrame } from "./syslog-frame.ts";

const writeTimeoutMs = 10_000;
const connectTimeoutMs = 5_000;

export type SyslogPlace = Pick<HttpPlace, "origin" | "allowPrivate" | "ca" | "identity">;

export function syslogSink(options: SyslogOptions, place: SyslogPlace): Sink {
  let open: Socket | null = null;
  const end = (): void => {
    open?.destroy();
    open = null;
  };
  const connected = async (): Promise<Socket> => {
    if (open !== null && !open.destroyed && open.writable && !open.readableEnded) return open;
    end();
    const host = new URL(place.origin).hostname.replace(/^\[|\]$/g, "");
    const socket = await dialBytes(place.origin, {
      rules: { allowPrivateHosts: new Set(place.allowPrivate ? [host] : []), ownAddresses: new Set() },
      tls: { ...(place.ca === null ? {} : { ca: place.ca }), ...(place.identity ?? {}) },
      connectTimeoutMs,
    });
    // Receivers say nothing; whatever they do say is read and dropped, so that their end is seen.
    socket.on("error", () => undefined);
    socket.on("end", () => socket.destroy());
    socket.resume();
    open = socket;
    return socket;
  };
  return {
    async send(batch) {
      try {
        await write(await connected(), frames(batch, options));
      } catch (error) {
        end();
        throw asSinkFault(error);
      }
      return { kind: "taken", rejected: [] };
    },
    async close() {
      const socket = open;
      open = null;
      if (socket === null || socket.destroyed) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => socket.destroy(), writeTimeoutMs);
        socket.once("close", () => {
          clearTimeout(timer);
          resolve();
        });
        socket.end();
      });
    },
  };
}

/** The place stands in the structured data: of the leaf format only the leaf is left to say. */
const frames = (batch: readonly EncodedRecord[], options: SyslogOptions): string =>
  batch.map((one) => syslogFrame(options.bare ? { ...one, json: one.record.text } : one, options)).join("");

/** Resolves when the operating system has all bytes; a receiver that stops reading is given up. */
function write(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => done(new SinkFault("the syslog receiver closed the connection"));
    const timer = setTimeout(
      () => done(new SinkFault(`the syslog receiver took nothing for ${writeTimeoutMs / 1_000} s`)),
      writeTimeoutMs,
    );
    const done = (fault?: Error) => {
      clearTimeout(timer);
      socket.off("close", closed);
      if (fault === undefined) resolve();
      else reject(fault);
    };
    socket.once("close", closed);
    socket.write(text, "latin1", (error) => (error == null ? done() : done(error)));
  });
}
