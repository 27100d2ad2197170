// Promises every check of one machine in reading order: disk, files, process, ports, issuers, providers, store, logs, dates. Changes nothing that stays.
// Trusts the gatherers for facts and the deciders for verdicts. Specified in docs/cli/doctor.md.
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { ControlStatus } from "@sallyport/control/admin/actions.ts";
import { loadEstate } from "@sallyport/control/registry/config/load.ts";
import { readIdentity } from "@sallyport/gateway/join/node-identity.ts";
import { readPostgresFacts } from "@sallyport/kernel/store/postgres-facts.ts";
import { openAdminClient } from "../admin-connection.ts";
import { assertEstateDirectory } from "../commands/estate-directory.ts";
import { probeUpstream, upstreamsOf } from "../dev/upstream-watch.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { type Endpoints, readEndpoints } from "../roles/endpoints.ts";
import { systemClock } from "../roles/system-ports.ts";
import { type CheckResult, fail, warn } from "./check-result.ts";
import { decideDisk } from "./decide-disk.ts";
import { decideFiles } from "./decide-files.ts";
import { decideClock, decideIssuer, decidePorts, decideUpstream, portPlaces } from "./decide-network.ts";
import { decideProcess } from "./decide-process.ts";
import {
  decideDate,
  decideLog,
  decideNotice,
  decideOperatorKey,
  decideOutsideIssuer,
  decidePostgres,
  decideSqlite,
} from "./decide-state.ts";
import { measureDisk } from "./disk.ts";
import { canReflink, gatherFiles } from "./gather-files.ts";
import { gatherControlClock, gatherIssuer } from "./gather-issuer.ts";
import { gatherPort } from "./gather-ports.ts";
import { gatherProcess } from "./gather-process.ts";
import { gatherDates, gatherLog, gatherSqlite, wordsOf } from "./gather-state.ts";

export interface ExamineOptions {
  readonly dataDirectory: string;
  /** Null: the estate of the running process, if one runs. */
  readonly configDirectory: string | null;
  /** Name of the variable with the PostgreSQL URL. */
  readonly storeVariable: string | null;
}

const syncProbes = 100;
const probeTimeoutMs = 3_000;

export async function examine(options: ExamineOptions): Promise<readonly CheckResult[]> {
  const dataDirectory = resolve(options.dataDirectory);
  // Before anything is measured: a wrong directory is bad use, not a finding.
  if (options.configDirectory !== null) assertEstateDirectory(options.configDirectory);
  const process = gatherProcess();
  const place = nearestDirectory(dataDirectory);
  const running = runningHere(dataDirectory);
  const endpoints = running.endpoints;
  const config = options.configDirectory ?? endpoints?.config ?? null;
  return [
    ...decideDisk(measureDisk(place, syncProbes), place),
    {
      check: "disk.reflink",
      verdict: "ok",
      measured: canReflink(place) ? "copies share blocks (reflink)" : "copies are whole copies (no reflink)",
      fix: null,
    },
    ...decideFiles(gatherFiles(dataDirectory), {
      directory: dataDirectory,
      user: globalThis.process.getuid?.() ?? null,
    }),
    ...running.results,
    ...decidePorts(await gatherPorts(endpoints), endpoints?.pid ?? null),
    ...(await examineIssuers(endpoints)),
    ...(await examineControlClock(dataDirectory)),
    ...(config === null ? [] : await examineUpstreams(config)),
    ...(await examineStore(dataDirectory, options.storeVariable)),
    ...examineLogs(dataDirectory),
    ...gatherDates(dataDirectory).map((facts) => decideDate(facts, systemClock.now())),
    examineOperatorKey(dataDirectory),
    ...(await examineNotices(endpoints)),
    // Last, so that a jump of the clock while all this ran is seen.
    ...decideProcess(process),
  ];
}

/** Where a data directory that does not exist yet would be made. */
function nearestDirectory(directory: string): string {
  let nearest = directory;
  while (!existsSync(nearest) && dirname(nearest) !== nearest) nearest = dirname(nearest);
  return nearest;
}

function runningHere(dataDirectory: string): {
  readonly endpoints: Endpoints | null;
  readonly results: readonly CheckResult[];
} {
  try {
    const found = readEndpoints(dataDirectory);
    if (found === null || found.isAlive) return { endpoints: found, results: [] };
    const left = warn(
      "process",
      `${join(dataDirectory, "endpoints.json")} names pid ${found.pid}, which does not run: it ended without cleaning up`,
      "look at its last log lines, and start it again",
    );
    return { endpoints: null, results: [left] };
  } catch (error) {
    return {
      endpoints: null,
      results: [
        fail(
          "process",
          wordsOf(error),
          "set the mode the message names; if others wrote the file, do not trust what it says",
        ),
      ],
    };
  }
}

async function gatherPorts(endpoints: Endpoints | null) {
  const facts = await Promise.all(portPlaces(endpoints).map(({ name, host, port }) => gatherPort(name, host, port)));
  return facts.filter((one) => one !== null);
}

async function examineIssuers(endpoints: Endpoints | null): Promise<readonly CheckResult[]> {
  const results: CheckResult[] = [];
  for (const [environment, issuer] of Object.entries(endpoints?.issuers ?? {}))
    results.push(...decideIssuer(await gatherIssuer(environment, issuer, endpoints?.roots.identity ?? null)));
  // Every environment has the one clock.
  return results.filter(({ check }, i) => results.findIndex((one) => one.check === check) === i);
}

/** A gateway's own way to control: the address and pin it joined with. */
async function examineControlClock(dataDirectory: string): Promise<readonly CheckResult[]> {
  if (!existsSync(join(dataDirectory, "node", "identity.json"))) return [];
  const { url, pin } = readIdentity(dataDirectory) ?? { url: "", pin: "" };
  const asked = await gatherControlClock(url, pin);
  if (asked === null)
    return [
      fail(
        "control.channel",
        `control cannot be reached at ${url}, or shows another key than the one this gateway joined`,
        "open the way to the channel listener; after control's key was lost, join again with a new token",
      ),
    ];
  return asked.dateMs === null ? [] : [decideClock("clock.control", asked.dateMs, asked)];
}

async function examineUpstreams(directory: string): Promise<readonly CheckResult[]> {
  const { estate } = loadEstate(directory, systemClock);
  const probes = estate.environments.flatMap((environment) =>
    upstreamsOf(environment).map(async (upstream) => {
      const declared = environment.systems.find(({ id }) => id === upstream.system)?.declaredAt;
      const place = `${declared?.file ?? ""}:${declared?.line ?? 1}`;
      const report = await probeUpstream(upstream, probeTimeoutMs);
      const { system, origin } = upstream;
      return decideUpstream({ environment: environment.name, system, origin, place, report }, systemClock.now());
    }),
  );
  return Promise.all(probes);
}

async function examineStore(dataDirectory: string, variable: string | null): Promise<readonly CheckResult[]> {
  if (variable !== null) {
    const url = process.env[variable] ?? "";
    if (url === "" || variable.includes(":"))
      throw new CommandEnd(
        exitCode.badUse,
        "--store names an environment variable that is not set",
        "set it to postgres://user:password@host:5432/database and name the variable, not the URL",
      );
    // The words of a refusal may hold the URL's host, never its password (postgres-url.ts).
    return decidePostgres(await readPostgresFacts(url).catch((error: unknown) => ({ why: wordsOf(error) })));
  }
  const paths = [join(dataDirectory, "control", "control.sqlite"), join(dataDirectory, "control.sqlite")];
  const path = paths.find((one) => existsSync(one));
  return path === undefined ? [] : [decideSqlite(path, gatherSqlite(path))];
}

function examineLogs(dataDirectory: string): readonly CheckResult[] {
  const isAll = existsSync(join(dataDirectory, "control"));
  const isGateway = existsSync(join(dataDirectory, "node", "identity.json"));
  const logs = isAll
    ? ([
        ["control", join(dataDirectory, "control", "log")],
        ["gateway", join(dataDirectory, "gateway", "log")],
      ] as const)
    : ([[isGateway ? "gateway" : "control", join(dataDirectory, "log")]] as const);
  return logs.flatMap(([role, directory]) => decideLog(gatherLog(role, directory)));
}

/** What the running control says is due, asked with the operator key that lies beside it; without one nobody is asked. */
async function examineNotices(endpoints: Endpoints | null): Promise<readonly CheckResult[]> {
  if (endpoints === null || endpoints.operatorKey === null) return [];
  try {
    const client = openAdminClient(endpoints.operatorKey);
    const { notices, warnings, issuers, now } = await client.call<ControlStatus>("GET", "/v1/status");
    const outside = issuers.map((issuer) => decideOutsideIssuer(issuer, now));
    const waiting = warnings.map((text) => warn("control", text, "sallyport status has the whole picture"));
    return [...outside, ...waiting, ...notices.map(decideNotice)];
  } catch (error) {
    return [fail("control", wordsOf(error), "check that control runs, and that this operator key is declared")];
  }
}

function examineOperatorKey(dataDirectory: string): CheckResult {
  const ofAll = join(dataDirectory, "control", "operator.key.json");
  const path = existsSync(ofAll) ? ofAll : join(dataDirectory, "operator.key.json");
  const stat = statSync(path, { throwIfNoEntry: false });
  return decideOperatorKey(path, stat === undefined ? null : systemClock.now() - stat.mtimeMs);
}
