// Promises the options of the runtime that every way of starting the program gives it: the launcher, the container and what is measured of it.
// Trusts launcher.test.ts and deploy.test.ts to compare those with this list. Why these: docs/packaging.md "The launcher".

/**
 * A young generation of at most 16 MB (two halves of 8) and an old one that is collected once it has grown by half. Left to itself the runtime keeps
 * up to 64 MB of young garbage, adds as much to the room of the old generation, and lets that grow further the slower the machine is: what a
 * gateway holds then depends on the hour and not on its work.
 */
export const runtimeOptions: readonly string[] = ["--max-semi-space-size=8", "--heap-growing-percent=50"];
