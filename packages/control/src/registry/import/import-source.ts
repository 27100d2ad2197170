// Promises an estate from somebody else's description, whatever kind it is, and a report; nothing is fetched, run or believed.
// Trusts the loader to judge what was made: what it would not accept is said in the report. Specified in docs/cli/init.md.
import { type EstateIo, memoryEstateIo } from "../config/estate-io.ts";
import { errorAt, type Finding, fileSpot } from "../config/finding.ts";
import { loadEstateFrom } from "../config/load.ts";
import type { MapTree } from "../config/yaml-tree.ts";
import { type ImportReport, sortEntries } from "./import-report.ts";
import { importKong } from "./kong/import-kong.ts";
import { type ImportChoice, type Imported, importOpenApi } from "./openapi/import-openapi.ts";
import { readSourceFile } from "./source-document.ts";
import { textOf } from "./tree-members.ts";

export interface SourceInput {
  /** The folder the source lies in. */
  readonly io: EstateIo;
  readonly file: string;
  readonly choice: ImportChoice;
  /** What is being done, for whoever waits; said often. */
  readonly progress?: (doing: string) => void;
}

export type ImportedSource = Imported | { readonly finding: Finding };

export function importSource(input: SourceInput): ImportedSource {
  const { progress = () => {} } = input;
  progress(`reading ${input.file}`);
  const document = readSourceFile(input.io, input.file);
  if ("finding" in document) return document;
  const kind = kindOf(document.root, input.file);
  if (typeof kind !== "string") return kind;
  const [said] = Object.keys(input.choice);
  if (kind === "kong" && said !== undefined)
    return {
      finding: errorAt(
        fileSpot(input.file),
        `\`${said}\` says nothing of a Kong file`,
        "leave it out: names and URLs are the file's own",
      ),
    };
  const imported =
    kind === "openapi"
      ? importOpenApi({ ...input, root: document.root, progress })
      : importKong({ ...input, root: document.root, progress });
  progress(`checking ${imported.files.length} files`);
  return { ...imported, report: judged(imported, input.io.now()) };
}

function kindOf(root: MapTree, file: string): "openapi" | "kong" | { readonly finding: Finding } {
  const openapi = textOf(root, "openapi");
  const fail = (key: string, message: string, fix: string) => ({
    finding: errorAt(root.entries.get(key)?.keyAt ?? fileSpot(file), message, fix),
  });
  if (openapi !== undefined)
    return /^3\.[01](\.|$)/.test(openapi)
      ? "openapi"
      : fail("openapi", `OpenAPI ${openapi.slice(0, 12)} is not read`, "convert it to OpenAPI 3.0 or 3.1");
  if (root.entries.has("swagger"))
    return fail(
      "swagger",
      "Swagger 2 is not read",
      "convert it to OpenAPI 3.0 or 3.1 first; editors and converters for that exist",
    );
  if (["_format_version", "services", "routes", "consumers"].some((key) => root.entries.has(key))) return "kong";
  return {
    finding: errorAt(
      fileSpot(file),
      "neither OpenAPI nor a declarative Kong file",
      "name a file with `openapi: 3.x` or with `_format_version` and `services`",
    ),
  };
}

/** The report, with whatever the loader would not accept of what was made: better said twice than found out later. */
function judged({ files, report }: Imported, now: number): ImportReport {
  const io = memoryEstateIo(Object.fromEntries(files.map(({ file, text }) => [file, text])), () => now);
  const refused = loadEstateFrom(io).findings.filter(({ severity }) => severity === "error");
  const entries = refused.map((finding) => ({
    outcome: "not-mapped" as const,
    file: report.source,
    line: 1,
    column: 1,
    what: `${finding.file}:${finding.line}`,
    why: `what was written is not accepted: ${finding.message}`,
    fix: finding.fix,
  }));
  return { ...report, entries: sortEntries([...report.entries, ...entries]) };
}
