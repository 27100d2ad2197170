// Promises the files to send so that an estate loads elsewhere exactly as it does from the directory: what the loader read, and the names it saw.
// Trusts the loader to read the same from the same answers. Links are followed where estate-io.ts follows them. Specified in docs/configuration.md "Files".
import { decodeText, diskEstateIo, type EstateIo, explainList, isMountEntry } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

/** Bytes of all files as they stand in the JSON of a request: below the 16 MiB the API accepts. */
export const sentBytesMax = 15 * 1024 * 1024;

const knownFolders: ReadonlySet<string> = new Set(["systems", "integrations", "policies", "trust", "issuers", "teams"]);

/** The directory holds what cannot be sent as it is: bad use of the command. */
export class SentFilesFault extends Error {
  readonly code = "estate-not-sendable";
  /** For the person at the terminal. */
  readonly fix: string;

  constructor(message: string, fix: string) {
    super(message);
    this.name = "SentFilesFault";
    this.fix = fix;
  }
}

/** Text by path with `/`. Throws EstateFault when there is no such directory, SentFilesFault when not all of it can be sent. */
export function readSentFiles(dir: string, now: () => number): Readonly<Record<string, string>> {
  const sent = new Map<string, string>();
  const disk = diskEstateIo(dir, now);
  let bytes = 0;
  const keep = (path: string, text: string): void => {
    bytes += Buffer.byteLength(JSON.stringify([path, text]));
    if (bytes > sentBytesMax)
      throw new SentFilesFault(
        `${dir} holds more than ${sentBytesMax} bytes of configuration`,
        "divide the estate, or take out files that nothing needs",
      );
    sent.set(path, text);
  };
  loadEstateFrom({
    now,
    list: (folder) => keepNames(disk, folder, (path) => sent.has(path) || keep(path, "")),
    read(file, bytesMax) {
      const read = disk.read(file, bytesMax);
      if (read === "absent") return read;
      const text = typeof read === "string" ? null : decodeText(read);
      if (text === null) throw new SentFilesFault(`${file} ${whyNot(read)}`, "correct it, or copy it into the estate");
      if ((sent.get(file) ?? "") === "") keep(file, text);
      return read;
    },
  });
  return withoutFolders(sent);
}

/** Remembers what stands in a folder: a name alone can be a finding, such as a policy that is not read for its name. */
function keepNames(disk: EstateIo, folder: string, keep: (path: string) => void): ReturnType<EstateIo["list"]> {
  const names = disk.list(folder);
  if (typeof names === "string") {
    // Folders of one's own are nobody's business; a known one that is a file must be missed by the receiver too.
    if (!knownFolders.has(folder.split("/")[0] ?? "")) return names;
    if (names === "not-a-folder") keep(folder);
    const why = names === "not-a-folder" ? null : explainList(names);
    if (why !== null) throw new SentFilesFault(`${folder}: ${why.message}`, why.fix);
    return names;
  }
  // At the top lies what is nobody's business, and no name of it is more than a hint.
  for (const name of names) {
    if (folder === "" ? /\.(ya?ml|cedar)$/i.test(name) : !isMountEntry(name))
      keep(folder === "" ? name : `${folder}/${name}`);
  }
  return names;
}

/** A folder is there through what it holds. */
function withoutFolders(sent: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  const folders = new Set<string>();
  for (const path of sent.keys())
    for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) folders.add(path.slice(0, at));
  return Object.fromEntries([...sent].filter(([path]) => !folders.has(path)).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function whyNot(read: ReturnType<EstateIo["read"]>): string {
  if (read === "outside") return "is a symbolic link out of the estate directory";
  if (read === "too-large") return "is larger than such a file may be";
  if (read === "not-a-file") return "is not a regular file";
  return "is not UTF-8 text";
}
