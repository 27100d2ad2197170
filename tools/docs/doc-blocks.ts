// Promises that what a page tells people to type is what a test types: fenced blocks are files and commands, in the order of the page.
// Trusts the page's comments for what a block is expected to do. Format: CONTRIBUTING.md "Pages that run".
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** A fenced block that does something. Others (output, fragments) have no directive and no file name and are left alone. */
export interface DocBlock {
  /** Line of the opening fence, from 1. */
  readonly line: number;
  readonly kind: "file" | "command" | "background";
  /** Where a file goes, relative to the reader's folder. */
  readonly path: string;
  readonly text: string;
  /** Exit code a command must have. */
  readonly exit: number;
  /** What a command must print, or a background command before the next block runs. */
  readonly prints: RegExp | null;
}

const fence = /^```(\w*)\s*$/;
const directive = /^<!-- run(?<background> in background)?(?:, exit (?<exit>\d+))?(?:, prints (?<prints>.+?))? -->$/;
const named = /^(?:#|\/\/) ([\w./-]+\.\w+)$/;

/** The blocks of a page, in order. Throws for a directive that is none, or that stands before nothing. */
export function readBlocks(page: string): readonly DocBlock[] {
  const lines = page.split("\n");
  const blocks: DocBlock[] = [];
  let pending: RegExpExecArray | null = null;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    if (line.startsWith("<!-- run")) {
      pending = directive.exec(line);
      if (pending === null) throw new Error(`line ${i + 1}: not a directive: ${line}`);
      continue;
    }
    if (!fence.test(line)) {
      if (pending !== null) throw new Error(`line ${i + 1}: the directive above belongs to no block`);
      continue;
    }
    const from = i + 1;
    while (++i < lines.length && !fence.test(lines[i] ?? ""));
    const body = lines.slice(from, i);
    const block = blockOf({ line: from, body, directive: pending });
    if (block !== null) blocks.push(block);
    pending = null;
  }
  return blocks;
}

function blockOf(found: {
  readonly line: number;
  readonly body: readonly string[];
  readonly directive: RegExpExecArray | null;
}): DocBlock | null {
  const { line, body, directive: told } = found;
  const text = `${body.join("\n")}\n`;
  if (told === null) {
    const path = named.exec(body[0] ?? "")?.[1];
    return path === undefined ? null : { line, kind: "file", path, text, exit: 0, prints: null };
  }
  const { background, exit, prints } = told.groups ?? {};
  return {
    line,
    kind: background === undefined ? "command" : "background",
    path: "",
    text,
    exit: Number(exit ?? 0),
    prints: prints === undefined ? null : new RegExp(prints),
  };
}

export interface ReaderOptions {
  /** An empty folder. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** Somebody who does what the page says. */
export class Reader {
  readonly #options: ReaderOptions;
  readonly #background: ChildProcess[] = [];
  /** Everything printed so far, for a failing test to show. */
  transcript = "";

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Throws, with the line and what was printed, when a block does not do what the page says. */
  async follow(block: DocBlock): Promise<void> {
    if (block.kind === "file") this.#write(block);
    else await this.#run(block);
  }

  /** Ends what was left running, each by its own id. */
  async close(): Promise<void> {
    await Promise.all(
      this.#background.map((child) => {
        if (child.exitCode !== null || child.signalCode !== null) return undefined;
        const gone = new Promise((resolve) => child.once("close", resolve));
        endGroup(child);
        return gone;
      }),
    );
  }

  #write(block: DocBlock): void {
    const path = normalize(block.path);
    if (path.startsWith("..") || path.startsWith("/")) throw new Error(`line ${block.line}: ${path} leaves the folder`);
    const target = join(this.#options.directory, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, block.text);
  }

  #run(block: DocBlock): Promise<void> {
    const { directory, env, timeoutMs } = this.#options;
    const child = spawn("bash", ["-euo", "pipefail", "-c", block.text], {
      cwd: directory,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    this.transcript += `\n$ ${block.text}`;
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer);
        endGroup(child);
        reject(new Error(`line ${block.line}: ${why}\n${this.transcript.slice(-4_000)}`));
      };
      const timer = setTimeout(() => fail(`not done in ${timeoutMs} ms`), timeoutMs);
      const take = (chunk: string): void => {
        output += chunk;
        this.transcript += chunk;
        if (block.kind !== "background" || block.prints?.test(output) === false) return;
        clearTimeout(timer);
        resolve();
      };
      child.stdout.setEncoding("utf8").on("data", take);
      child.stderr.setEncoding("utf8").on("data", take);
      child.once("error", (cause) => fail(String(cause)));
      child.once("close", (exit) => {
        if (block.kind === "background") return fail(`ended with ${exit}, but should stay up`);
        if (exit !== block.exit) return fail(`exit ${exit}, the page says ${block.exit}`);
        if (block.prints?.test(output) === false) return fail(`did not print ${block.prints}`);
        clearTimeout(timer);
        resolve();
      });
      if (block.kind === "background") this.#background.push(child);
    });
  }
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    // Gone already.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
