// Promises what has to be added to this thread's monotonic milliseconds to have those of the process, which are the same in every thread.
// Trusts the operating system's clock. Used by crew.ts and worker.ts.
const looks = 5;

export function monotonicOffsetMs(): number {
  let [offset, width] = [0, Number.POSITIVE_INFINITY];
  // Between two looks at the one clock lies one at the other: the narrowest of a few is within a microsecond or two.
  for (let look = 0; look < looks; look++) {
    const before = performance.now();
    const processMs = Number(process.hrtime.bigint()) / 1e6;
    const after = performance.now();
    if (after - before < width) [offset, width] = [processMs - (before + after) / 2, after - before];
  }
  return offset;
}
