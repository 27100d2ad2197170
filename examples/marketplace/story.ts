// Promises a story that cannot flatter itself: a denial counts only when the caller's answer, the provider's own counter and the record agree,
// every broken promise is printed with what was expected, and one is enough for a non-zero end. Trusts the ports it is given. DESIGN §7.15.
import type { Reply } from "./call.ts";

/** What the record of a crossing says. */
export interface CrossingRecord {
  readonly verdict: string;
  readonly code: string | null;
  readonly stage: string | null;
  readonly outcome: string | null;
}

/** The provider's own counter. */
export interface Counter {
  readonly name: string;
  reached(): number;
}

export interface StoryPorts {
  /** The record of a crossing by its id, as `sallyport why` finds it. */
  record(id: string): Promise<CrossingRecord>;
  print(line: string): void;
  now(): number;
}

export interface AllowedStep {
  readonly caption: string;
  readonly send: () => Promise<Reply>;
  /** Must grow by exactly one. */
  readonly counter: Counter;
  readonly status?: number;
  /** Control is away: the record is read when it is back. */
  readonly recordLater?: boolean;
}

export interface DeniedStep {
  readonly caption: string;
  readonly send: () => Promise<Reply>;
  /** Must not move. */
  readonly counter: Counter;
  readonly status: number;
  /** In the answer. */
  readonly publicCode: string;
  /** In the record; strangers are told less than this. */
  readonly code: string;
  readonly stage: string;
  readonly recordLater?: boolean;
}

export interface StoryLine {
  readonly chapter: string;
  readonly kind: "allow" | "deny" | "check";
  readonly caption: string;
  readonly status: number | null;
  readonly code: string | null;
  readonly stage: string | null;
  readonly latencyMs: number | null;
  /** Crossing id, for `sallyport why`; null for what is not a crossing. */
  readonly id: string | null;
  readonly problems: readonly string[];
}

/** Collects what is not as promised. */
export class Expectations {
  readonly problems: string[] = [];

  equal(what: string, actual: unknown, expected: unknown): void {
    const [sent, wanted] = [JSON.stringify(actual) ?? "undefined", JSON.stringify(expected) ?? "undefined"];
    if (sent !== wanted) this.problems.push(`${what}: expected ${wanted}, got ${sent}`);
  }

  ok(what: string, holds: boolean, detail = ""): void {
    if (!holds) this.problems.push(`${what}: expected, but did not hold${detail === "" ? "" : ` (${detail})`}`);
  }
}

export class StoryEnded extends Error {
  override readonly name = "StoryEnded";
}

interface Later {
  readonly caption: string;
  readonly id: string;
  readonly judge: (record: CrossingRecord, expect: Expectations) => void;
}

export class Story {
  readonly lines: StoryLine[] = [];
  /** Texts of refusals, for the search at the end. */
  readonly refusals: string[] = [];
  readonly #ports: StoryPorts;
  readonly #later: Later[] = [];
  #chapter = "";
  #ended = false;

  constructor(ports: StoryPorts) {
    this.#ports = ports;
  }

  get broken(): number {
    return this.lines.filter((line) => line.problems.length > 0).length;
  }

  /** From now on no step begins and nothing is printed: whoever still tells is stopped by StoryEnded. */
  end(): void {
    this.#ended = true;
  }

  /** Tells a part of the story. What keeps it from going on is a broken promise too; the next part is told all the same. */
  async attempt(part: () => Promise<void>): Promise<void> {
    try {
      await part();
    } catch (error) {
      if (this.#ended) throw error;
      await this.check("this chapter could be told to its end", () => {
        throw error;
      });
    }
  }

  chapter(title: string): void {
    this.#goOn();
    this.#chapter = title;
    this.#ports.print(`\n${title}`);
  }

  /** One crossing that must pass and reach its provider once. */
  async allowed(step: AllowedStep): Promise<Reply | null> {
    return this.#crossing("allow", step, (reply, expect, moved) => {
      expect.equal("status", reply.status, step.status ?? 200);
      expect.equal(`requests that reached ${step.counter.name}`, moved, 1);
      return (record, later) => {
        later.equal("verdict of the record", record.verdict, "allow");
        later.equal("outcome of the record", record.outcome, "success");
      };
    });
  }

  /** One crossing that must be stopped: at the answer, at the provider and in the record. */
  async denied(step: DeniedStep): Promise<Reply | null> {
    return this.#crossing("deny", step, (reply, expect, moved) => {
      this.refusals.push(`${JSON.stringify(reply.headers)}\n${reply.text}`);
      expect.equal("status", reply.status, step.status);
      expect.equal("code of the answer", reply.code, step.publicCode);
      expect.equal("verdict header", reply.headers["sallyport-verdict"], `deny; by=gateway; code=${step.publicCode}`);
      expect.equal(`requests that reached ${step.counter.name}`, moved, 0);
      return (record, later) => {
        later.equal("verdict of the record", record.verdict, "deny");
        later.equal("code of the record", record.code, step.code);
        later.equal("stage of the record", record.stage, step.stage);
      };
    });
  }

  /** Anything else that was promised; the text it returns is added to its line. */
  async check(
    caption: string,
    body: (expect: Expectations) => Promise<string | undefined> | string | undefined,
  ): Promise<void> {
    this.#goOn();
    const expect = new Expectations();
    const startedMs = this.#ports.now();
    let said: string | undefined;
    try {
      said = await body(expect);
    } catch (error) {
      expect.problems.push(`it failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    const text = said === undefined ? caption : `${caption}: ${said}`;
    this.#add({ kind: "check", caption: text, latencyMs: this.#ports.now() - startedMs, expect });
  }

  /** Reads the records that had to wait. */
  async settle(caption: string): Promise<void> {
    const waiting = this.#later.splice(0);
    await this.check(caption, async (expect) => {
      for (const { caption: of, id, judge } of waiting) {
        const own = new Expectations();
        judge(await this.#ports.record(id), own);
        expect.problems.push(...own.problems.map((problem) => `${of}: ${problem}`));
      }
      return `${waiting.length} records`;
    });
  }

  async #crossing(
    kind: "allow" | "deny",
    step: AllowedStep | DeniedStep,
    judge: (reply: Reply, expect: Expectations, moved: number) => Later["judge"],
  ): Promise<Reply | null> {
    this.#goOn();
    const expect = new Expectations();
    const before = step.counter.reached();
    let reply: Reply | null = null;
    let record: CrossingRecord | null = null;
    try {
      reply = await step.send();
      const judgeRecord = judge(reply, expect, step.counter.reached() - before);
      expect.ok("the answer names its crossing", reply.id !== "");
      if (step.recordLater === true) this.#later.push({ caption: step.caption, id: reply.id, judge: judgeRecord });
      else if (reply.id !== "") {
        record = await this.#ports.record(reply.id);
        judgeRecord(record, expect);
      }
    } catch (error) {
      expect.problems.push(`it failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    const isDenied = kind === "deny" && "stage" in step;
    const stage = record?.stage ?? (isDenied && step.recordLater === true ? step.stage : null);
    const code = record?.code ?? reply?.code ?? null;
    this.#add({
      kind,
      caption: step.caption,
      status: reply?.status ?? null,
      code,
      stage,
      latencyMs: reply?.latencyMs ?? null,
      id: reply?.id ?? null,
      expect,
    });
    return reply;
  }

  #goOn(): void {
    if (this.#ended) throw new StoryEnded("the story has ended");
  }

  #add(of: {
    readonly kind: StoryLine["kind"];
    readonly caption: string;
    readonly status?: number | null;
    readonly code?: string | null;
    readonly stage?: string | null;
    readonly latencyMs: number | null;
    readonly id?: string | null;
    readonly expect: Expectations;
  }): void {
    const { kind, caption, status = null, code = null, stage = null, latencyMs, id = null, expect } = of;
    const line: StoryLine = {
      chapter: this.#chapter,
      kind,
      caption,
      status,
      code,
      stage,
      latencyMs,
      id,
      problems: expect.problems,
    };
    if (this.#ended) return;
    this.lines.push(line);
    this.#ports.print(formatLine(line));
    for (const problem of expect.problems) this.#ports.print(`      NOT AS PROMISED: ${problem}`);
  }
}

/** What stands above the lines. */
export const heading = "    verdict   code                  stopped at   latency";

/** One line of the terminal: verdict, status, code, where it stopped, milliseconds, caption. Pure. */
export function formatLine(line: StoryLine): string {
  const mark = line.problems.length > 0 ? "✗" : line.kind === "deny" ? "■" : "✓";
  const verdict = line.kind === "check" ? "" : line.kind;
  const ms =
    line.latencyMs === null
      ? ""
      : `${line.latencyMs < 100 ? line.latencyMs.toFixed(1) : Math.round(line.latencyMs)} ms`;
  const cells = [
    verdict.padEnd(5),
    String(line.status ?? "").padStart(3),
    (line.code ?? "").padEnd(21),
    (line.stage ?? "").padEnd(9),
    ms.padStart(9),
  ];
  return `  ${mark} ${cells.join(" ")}  ${line.caption}`;
}
