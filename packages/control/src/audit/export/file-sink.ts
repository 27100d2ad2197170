// Promises each batch in the file before its place moves (fdatasync), in a file for its owner alone that makes way for the next at its size.
// Trusts the directory. Specified in docs/export.md "File".
import { type FileHandle, open, rename, stat, unlink } from "node:fs/promises";
import { type Sink, SinkFault } from "./sink.ts";

export interface FileSinkOptions {
  readonly path: string;
  /** Bytes after which the file makes way. */
  readonly rotateBytes: number;
  /** Older files that are kept: `<path>.1` is the youngest. */
  readonly keep: number;
}

export function fileSink({ path, rotateBytes, keep }: FileSinkOptions): Sink {
  let file: FileHandle | null = null;
  let bytes = 0;
  const opened = async (): Promise<FileHandle> => {
    if (file !== null) return file;
    file = await open(path, "a", 0o600);
    // A file that was there keeps its mode: made private here.
    await file.chmod(0o600);
    bytes = (await file.stat()).size;
    return file;
  };
  const closed = async (): Promise<void> => {
    const handle = file;
    file = null;
    await handle?.close();
  };
  return {
    async send(batch) {
      const text = batch.map(({ json }) => `${json}\n`).join("");
      try {
        await opened();
        if (bytes > 0 && bytes + text.length > rotateBytes) {
          await closed();
          await makeWay(path, keep);
        }
        const handle = await opened();
        const before = bytes;
        try {
          await handle.appendFile(text, "latin1");
          await handle.datasync();
          bytes += text.length;
        } catch (error) {
          // Half a line would join the first of the next try.
          await handle.truncate(before);
          throw error;
        }
      } catch (error) {
        await closed().catch(() => undefined);
        throw new SinkFault(
          `${path} cannot be written (${codeOf(error)}): check its folder and the space on its disk`,
          null,
          error,
        );
      }
      return { kind: "taken", rejected: [] };
    },
    close: closed,
  };
}

/** `<path>` becomes `.1`, `.1` becomes `.2`; the oldest goes. */
async function makeWay(path: string, keep: number): Promise<void> {
  await unlink(`${path}.${keep}`).catch(ignoreAbsent);
  for (let n = keep - 1; n >= 1; n -= 1) await rename(`${path}.${n}`, `${path}.${n + 1}`).catch(ignoreAbsent);
  if (keep === 0) await unlink(path);
  else await rename(path, `${path}.1`);
}

function ignoreAbsent(error: unknown): void {
  if (codeOf(error) !== "ENOENT") throw error;
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";

/** Lines on the standard output of the process. What reads it may be slow: the write is the operating system's, off this thread. */
export function stdoutSink(write: (text: string) => Promise<void>): Sink {
  return {
    async send(batch) {
      try {
        await write(batch.map(({ json }) => `${json}\n`).join(""));
      } catch (error) {
        throw new SinkFault(`standard output takes nothing (${codeOf(error)})`, null, error);
      }
      return { kind: "taken", rejected: [] };
    },
    close: () => Promise.resolve(),
  };
}

/** Size of a file; 0 where there is none. */
export async function fileBytes(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
