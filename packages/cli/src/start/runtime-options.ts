// Promises what every way of starting the program gives its runtime: the launcher, the container and what is measured of it.
// Trusts launcher.test.ts and deploy.test.ts to compare those with this. Why these: docs/packaging.md "The launcher".

/**
 * A young generation of at most 32 MB (two halves of 16) and an old one that is collected once it has grown by half. Left to itself the runtime
 * keeps up to 64 MB of young garbage, adds as much to the room of the old generation, and lets that grow further the slower the machine is: what a
 * gateway holds then depends on the hour and not on its work.
 */
const heapOptions = ["--max-semi-space-size=16", "--heap-growing-percent=50"];

/** Options of Node for a process that may use so many processors. On a single one, threads that collect beside the program only take turns with it. */
export function runtimeOptions(processors: number): readonly string[] {
  return processors === 1 ? [...heapOptions, "--single-threaded-gc"] : heapOptions;
}

/** Its environment: as many arenas of glibc's allocator as threads can run at once. It would make eight for each processor, and each keeps what it once held. */
export function runtimeEnvironment(processors: number): Readonly<Record<string, string>> {
  return { MALLOC_ARENA_MAX: String(Math.max(2, processors)) };
}
