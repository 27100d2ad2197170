// Promises whether the process and its machine are set up to keep secrets and hold connections. Pure.
// Trusts gather-process.ts. Specified in docs/cli/doctor.md "Checks".
import { type CheckResult, fail, good, warn } from "./check-result.ts";

export interface ProcessFacts {
  readonly version: string;
  /** Why the environment would be refused by every start; null: it would not. */
  readonly verification: string | null;
  readonly nodeOptions: string;
  /** Soft limits; null: not known here. */
  readonly coreBytesMax: number | null;
  readonly openFilesMax: number | null;
  /** By how much the wall clock moved against the monotonic one since the facts were gathered. */
  readonly clockDriftMs: () => number;
}

const oldestNode = [24, 12] as const;
const openFilesMin = 4_096;
const clockJumpMs = 100;

export function decideProcess(facts: ProcessFacts): readonly CheckResult[] {
  return [
    decideNode(facts),
    decideVerification(facts),
    decideOptions(facts),
    decideCore(facts),
    decideFiles(facts),
    decideJump(facts),
  ];
}

function decideNode({ version }: ProcessFacts): CheckResult {
  const [major = 0, minor = 0] = version.slice(1).split(".").map(Number);
  const isNew = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
  return isNew
    ? good("node.version", version)
    : fail(
        "node.version",
        version,
        `install Node ${oldestNode.join(".")} or newer; npm run sallyport and the packaged command bring their own`,
      );
}

function decideVerification({ verification }: ProcessFacts): CheckResult {
  if (verification === null) return good("node.verification", "no variable weakens the verification of certificates");
  return fail("node.verification", "a variable switches the verification of certificates off", verification);
}

function decideOptions({ nodeOptions }: ProcessFacts): CheckResult {
  const risky = nodeOptions
    .split(/\s+/)
    .find((one) =>
      /^--(inspect|debug|heapsnapshot|heap-prof|cpu-prof|report-on|tls-(min|keylog)|trace-tls|use-openssl-ca|insecure)/.test(
        one,
      ),
    );
  if (risky === undefined)
    return good("node.options", nodeOptions === "" ? "NODE_OPTIONS is not set" : "NODE_OPTIONS opens nothing");
  return fail(
    "node.options",
    `NODE_OPTIONS has ${risky.split("=")[0]}`,
    "take it out for anything but a trial: it shows or writes what the process holds in memory, keys too",
  );
}

function decideCore({ coreBytesMax }: ProcessFacts): CheckResult {
  if (coreBytesMax === null) return good("limits.core", "not known on this system");
  if (coreBytesMax === 0) return good("limits.core", "no core dumps");
  return warn(
    "limits.core",
    "a crash may write the memory to disk, keys too",
    "ulimit -c 0, or LimitCORE=0 in the systemd unit",
  );
}

function decideFiles({ openFilesMax }: ProcessFacts): CheckResult {
  if (openFilesMax === null) return good("limits.files", "not known on this system");
  if (openFilesMax >= openFilesMin) return good("limits.files", `${openFilesMax} open files`);
  return warn(
    "limits.files",
    `${openFilesMax} open files`,
    `ulimit -n ${openFilesMin * 4}, or LimitNOFILE in the systemd unit: each connection takes one`,
  );
}

function decideJump({ clockDriftMs }: ProcessFacts): CheckResult {
  const driftMs = Math.round(clockDriftMs());
  if (Math.abs(driftMs) < clockJumpMs) return good("clock.steady", "the wall clock did not jump while this ran");
  return warn(
    "clock.steady",
    `the wall clock jumped by ${driftMs} ms while this ran`,
    "let chrony or systemd-timesyncd slew it instead of stepping it: tokens and proofs are judged by it",
  );
}
