// Promises how far a long command is, for people only: a bar that redraws itself on a terminal, a plain line now and then elsewhere, nothing at all
// beside --json. Trusts nothing; writes to standard error alone. Specified in docs/cli/audit.md.

export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Progress {
  /** `done` of `total`, where that is known and not 0. */
  update(done: number, total: number): void;
  /** Takes the bar away. */
  end(): void;
}

const barWidth = 24;
const redrawMs = 100;
const plainMs = 10_000;
const silent: Progress = { update: () => {}, end: () => {} };

/** `what` is counted, for example `leaves`; `now` in milliseconds. */
export function showProgress(
  what: string,
  { json, output, now }: { readonly json: boolean; readonly output: ProgressOutput; readonly now: () => number },
): Progress {
  if (json) return silent;
  const startedAt = now();
  const isTerminal = output.isTTY === true;
  let shownAt = isTerminal ? Number.NEGATIVE_INFINITY : startedAt;
  let isShown = false;
  return {
    update(done, total) {
      const at = now();
      if (at - shownAt < (isTerminal ? redrawMs : plainMs)) return;
      shownAt = at;
      const words = progressWords(what, { done, total, tookMs: at - startedAt });
      if (!isTerminal) output.write(`${words}\n`);
      else
        output.write(`\r${`${bar(done, total)}${words}`.slice(0, Math.max(20, (output.columns ?? 100) - 1))}\u001b[K`);
      isShown = isTerminal;
    },
    end() {
      if (isShown) output.write("\r\u001b[K");
      isShown = false;
    },
  };
}

function bar(done: number, total: number): string {
  if (total <= 0) return "";
  const full = Math.round(barWidth * Math.min(1, done / total));
  return `[${"#".repeat(full)}${".".repeat(barWidth - full)}] `;
}

/** `45 %, 1200000 of 2700000 leaves, 350000/s, 5 s left` */
function progressWords(
  what: string,
  { done, total, tookMs }: { readonly done: number; readonly total: number; readonly tookMs: number },
): string {
  const perSecond = tookMs > 0 ? Math.round((1_000 * done) / tookMs) : 0;
  const rate = perSecond > 0 ? `, ${perSecond}/s` : "";
  if (total <= 0 || done > total) return `${done} ${what}${rate}`;
  const left = perSecond > 0 && done < total ? `, ${Math.ceil((total - done) / perSecond)} s left` : "";
  return `${Math.floor((100 * done) / total)} %, ${done} of ${total} ${what}${rate}${left}`;
}
