// Promises that what the house forbids in code is found, each ban naming what to use instead. Trusts source-text.ts.
// The bans are specified in CONTRIBUTING.md and DESIGN §7 and §10.
import { eachImport } from "./imports.ts";
import { isProduct, isTest, lineOf, mask, type SourceFile, type Violation } from "./source-text.ts";

interface Ban {
  readonly pattern: RegExp;
  readonly message: string;
  readonly applies: (path: string) => boolean;
}

const isCode = (path: string): boolean => /\.(ts|mjs)$/.test(path);
/** Tests, sdk and console (they run in other people's programs), examples, bench and tools may open connections. */
const mustDialGuarded = (path: string): boolean =>
  isProduct(path) && !/^packages\/(sdk|console)\/|^packages\/kernel\/src\/dial\//.test(path);
const dialInstead = "use the guarded connector of kernel/dial, which dials only addresses it has checked";
/** Files that may turn a Secret into its text. */
const revealAllowed = /^packages\/(gateway\/src\/exchange\/|kernel\/src\/seal\/)/;

const bans: readonly Ban[] = [
  {
    // A method that is called fetch (a handler) is a declaration: a type or a body follows its parameters.
    pattern:
      /(?<![.\w$#])fetch\s*\((?![^()]*(?:\([^()]*\)[^()]*)*\)\s*(?::\s*(?:Promise|Response)|\{))|\bglobalThis\s*\.\s*fetch\b|[=,(:{?]\s*fetch\s*[,;)}]/g,
    message: `bare fetch: ${dialInstead}`,
    applies: mustDialGuarded,
  },
  {
    pattern: /\bhttps?\s*\.\s*(?:request|get)\s*\(/g,
    message: `bare HTTP request: ${dialInstead}`,
    applies: mustDialGuarded,
  },
  {
    pattern: /\b(?:net|tls|http2)\s*\.\s*(?:connect|createConnection)\s*\(|\bnew\s+(?:net\.)?Socket\s*\(/g,
    message: `bare connection: ${dialInstead}`,
    applies: mustDialGuarded,
  },
  {
    pattern: /\bnew\s+(?:WebSocket|EventSource)\b/g,
    message: `bare WebSocket or EventSource: ${dialInstead}`,
    applies: mustDialGuarded,
  },
  {
    pattern: /\.\s*reveal\s*\(/g,
    message: "only the stage that injects a credential may reveal a Secret: pass the Secret on instead",
    applies: (path) => isProduct(path) && !revealAllowed.test(path),
  },
  {
    pattern: /\bexport\s+default\b|\bas\s+default\b/g,
    message: "default export: export it by its name",
    applies: (path) => path.endsWith(".ts"),
  },
  {
    pattern: /\bexport\s+(?:type\s+)?\*/g,
    message: "a barrel: import from the file that defines it (package `exports` are the public surface)",
    applies: (path) => path.endsWith(".ts"),
  },
  {
    pattern: /\b(?:enum|namespace)\s+[A-Z]\w*\s*\{/g,
    message: "enum and namespace cannot be erased: use a union of literals, or a module",
    applies: (path) => path.endsWith(".ts"),
  },
];

export function bannedCode(files: readonly SourceFile[]): readonly Violation[] {
  return files
    .filter(({ path }) => isCode(path))
    .flatMap((file) => {
      const applicable = bans.filter((ban) => ban.applies(file.path));
      if (applicable.length === 0) return [];
      const { code } = mask(file.text);
      return applicable.flatMap((ban) =>
        [...code.matchAll(ban.pattern)].map((match) => ({
          path: file.path,
          line: lineOf(file.text, match.index),
          message: ban.message,
        })),
      );
    });
}

const outbound: Readonly<Record<string, readonly string[]>> = {
  "node:http": ["request", "get"],
  "node:https": ["request", "get"],
  "node:net": ["connect", "createConnection", "Socket"],
  "node:tls": ["connect"],
  "node:http2": ["connect"],
  undici: ["fetch", "request", "stream", "pipeline", "connect", "WebSocket", "EventSource", "setGlobalDispatcher"],
};

/** The same calls under an imported name. */
export function bannedImports(files: readonly SourceFile[]): readonly Violation[] {
  return eachImport(
    files.filter(({ path }) => mustDialGuarded(path)),
    (file, { specifier, names, line, typeOnly }) => {
      const bad = names.filter((name) => outbound[specifier]?.includes(name));
      if (bad.length === 0 || typeOnly) return undefined;
      return { path: file.path, line, message: `imports ${bad.join(", ")} from ${specifier}: ${dialInstead}` };
    },
  );
}

/** Nothing may switch off the verification of the other side (DESIGN §7.14). */
export function weakenedTls(files: readonly SourceFile[]): readonly Violation[] {
  return files
    .filter(({ path }) => isProduct(path))
    .flatMap((file) => {
      const { code } = mask(file.text);
      const found: Violation[] = [];
      for (const match of code.matchAll(/\brejectUnauthorized\s*:\s*false\b/g)) {
        const near = code.slice(Math.max(0, match.index - 400), match.index + 400);
        // A listener asks for a certificate and lets `identify` judge it, so that a bad one is a recorded denial.
        if (/\brequestCert\s*:\s*true\b/.test(near)) continue;
        found.push({
          path: file.path,
          line: lineOf(file.text, match.index),
          message: "verification of the peer is switched off: give the roots to trust (`ca`) instead",
        });
      }
      const lines = file.text.split("\n");
      for (const [index, line] of lines.entries()) {
        if (!line.includes("NODE_TLS_REJECT_UNAUTHORIZED") || /^\s*(\/\/|\*|\/\*)/.test(line)) continue;
        const refusal = /refus|throw|fail|exit|error/i.test(lines.slice(Math.max(0, index - 5), index + 6).join("\n"));
        const sets = /NODE_TLS_REJECT_UNAUTHORIZED["'\]\s]*=[^=]/.test(line);
        if (!refusal || sets)
          found.push({
            path: file.path,
            line: index + 1,
            message: "NODE_TLS_REJECT_UNAUTHORIZED may only be refused: the start ends with an error when it is set",
          });
      }
      return found;
    });
}

export function badComments(files: readonly SourceFile[]): readonly Violation[] {
  return files
    .filter(({ path }) => path.endsWith(".ts"))
    .flatMap((file) =>
      mask(file.text).comments.flatMap(({ start, end }) => {
        const lines = file.text.slice(start, end).split("\n");
        return lines.flatMap((line, index) => {
          const message = badComment(
            line
              .replace(/^\s*(?:\/\/+|\/\*+|\*)\s?/, "")
              .replace(/\*\/\s*$/, "")
              .trim(),
          );
          return message === undefined ? [] : [{ path: file.path, line: lineOf(file.text, start) + index, message }];
        });
      }),
    );
}

function badComment(text: string): string | undefined {
  const mark = /\b(TODO|FIXME|XXX|HACK)\b(?!\([a-z][\w-]*\))/.exec(text);
  if (mark !== null) return `${mark[1]} without an owner: do it, open an issue, or write ${mark[1]}(name)`;
  // Few false alarms matter more than finding all: a statement keyword or a call, and the punctuation that only code has.
  const statement =
    /^(?:const|let|var|return|await|throw|import|export|function|class)\b.*(?:;|\{)$|^(?:if|for|while|switch)\s*\(.*(?:;|\{)$/;
  const call = /^[A-Za-z_$][\w$.]*(?:\(.*\)|\s(?:=|\+=)\s.+);$/;
  return statement.test(text) || call.test(text) ? "commented-out code: delete it, git remembers" : undefined;
}

export function machinePaths(files: readonly SourceFile[]): readonly Violation[] {
  // Put together here so that this file does not name them itself.
  const pattern = new RegExp(`(?<![\\w.~-])/(?:${["work", "root", "tmp"].join("|")})(?:/|\\b(?=["'\`\\s]))`, "g");
  const judged = files.filter(
    ({ path }) =>
      !isTest(path) &&
      /^(packages|tools|examples|bench|docs)\/|^[A-Z]+\.md$/.test(path) &&
      !path.endsWith("package-lock.json"),
  );
  return judged.flatMap((file) =>
    [...file.text.matchAll(pattern)].map((match) => ({
      path: file.path,
      line: lineOf(file.text, match.index),
      message: `a path of one machine (${match[0]}): use a relative path, or a folder given by the user or made with mkdtemp`,
    })),
  );
}
