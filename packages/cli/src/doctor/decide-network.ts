// Promises whether ports, providers and issuers are as they must be, and what was expected where they are not. Pure.
// Trusts the probes. Specified in docs/cli/doctor.md "Checks".
import type { ProbeReport } from "@sallyport/kernel/dial/probe.ts";
import type { Endpoints } from "../roles/endpoints.ts";
import { type CheckResult, fail, good, warn } from "./check-result.ts";

export interface PortFacts {
  readonly name: string;
  readonly port: number;
  readonly free: boolean;
  readonly holder: { readonly pid: number; readonly command: string } | null;
}

export interface PortPlace {
  /** `identity`, `channel`, `admin`, `status`, `gateway`; `gateway.<listener>` for others than the default one. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

const defaultPorts = { identity: 7440, channel: 7441, admin: 7442, status: 7443, gateway: 8443 } as const;

/** Where what runs has bound; null where the address is none. */
function placeOf(name: string, url: string | null): readonly PortPlace[] {
  if (url === null || !URL.canParse(url)) return [];
  const { hostname, port, protocol } = new URL(url);
  const number = port === "" ? { "https:": 443, "http:": 80 }[protocol] : Number(port);
  return number === undefined ? [] : [{ name, host: hostname.replace(/^\[|\]$/g, ""), port: number }];
}

/** The addresses to look at: those endpoints.json names of the process that runs, else those a serve takes by default. */
export function portPlaces(
  endpoints: Pick<Endpoints, "identityUrl" | "channelUrl" | "adminUrl" | "statusUrl" | "gateway"> | null,
): readonly PortPlace[] {
  if (endpoints === null)
    return Object.entries(defaultPorts).map(([name, port]) => ({ name, host: "127.0.0.1", port }));
  return [
    ...placeOf("identity", endpoints.identityUrl),
    ...placeOf("channel", endpoints.channelUrl),
    ...placeOf("admin", endpoints.adminUrl),
    ...placeOf("status", endpoints.statusUrl),
    ...endpoints.gateway.flatMap(({ listener, address }) =>
      placeOf(listener === "public" ? "gateway" : `gateway.${listener}`, `tcp://${address}`),
    ),
  ];
}

/** `running` is the process that endpoints.json names and that still runs. */
export function decidePorts(ports: readonly PortFacts[], running: number | null): readonly CheckResult[] {
  return ports.map(({ name, port, free, holder }) => {
    if (free) return good(`port.${name}`, `${port} is free`);
    if (holder !== null && holder.pid === running)
      return good(`port.${name}`, `${port} is held by this installation (pid ${running})`);
    const who = holder === null ? "another process" : `${holder.command} (pid ${holder.pid})`;
    return warn(
      `port.${name}`,
      `${port} is held by ${who}`,
      `end that one, or name another address: --${name.startsWith("gateway") ? `listen ${name.split(".")[1] ?? "public"}=` : `${name}-listen `}<host:port>`,
    );
  });
}

export interface UpstreamFacts {
  readonly environment: string;
  readonly system: string;
  readonly origin: string;
  /** `systems/billing.yaml:2` */
  readonly place: string;
  readonly report: ProbeReport;
}

const certificateSoonMs = 14 * 86_400_000;

export function decideUpstream(
  { environment, system, origin, place, report }: UpstreamFacts,
  now: number,
): CheckResult {
  const check = `upstream.${environment}.${system}`;
  const { shown } = report;
  if (report.kind === "reached") {
    const proven =
      shown === null
        ? ""
        : `, certificate for ${shown.names} until ${new Date(shown.notAfter).toISOString().slice(0, 10)}`;
    const measured = `${origin} at ${report.address} in ${report.ms.toFixed(1)} ms${proven}`;
    return shown !== null && shown.notAfter - now < certificateSoonMs
      ? warn(check, measured, "its owner must renew the certificate: connections fail once it ends")
      : good(check, measured);
  }
  const found =
    shown === null
      ? ""
      : `; expected a certificate for ${new URL(origin).hostname}, found one for ${shown.names}, issued by ${shown.issuer}, until ${new Date(shown.notAfter).toISOString().slice(0, 10)}`;
  return fail(check, `${report.why}${found}`, `${fixOf(report.code)} (${place})`);
}

function fixOf(code: Extract<ProbeReport, { kind: "failed" }>["code"]): string {
  switch (code) {
    case "address-refused":
      return "say `allowPrivate: true` where a private address is meant, or correct `url`";
    case "name-not-found":
    case "resolve-failed":
      return "correct the host in `url`, or the name servers of this machine";
    case "tls-untrusted":
      return "name its root in trust/<name>.yaml and `tls: { ca: <name> }`, or correct the host in `url`";
    default:
      return "start the provider, or open the way to it; or correct `url`";
  }
}

export interface IssuerFacts {
  readonly environment: string;
  readonly issuer: string;
  /** Null: it could not be reached, `why` says so. */
  readonly answer: {
    readonly status: number;
    readonly keys: number;
    readonly dateMs: number | null;
    readonly askedMs: number;
    readonly tookMs: number;
  } | null;
  readonly why: string;
}

/** Proofs and assertions allow 5 s. */
const skewFailMs = 5_000;
const skewWarnMs = 2_000;

export function decideIssuer({ environment, issuer, answer, why }: IssuerFacts): readonly CheckResult[] {
  const check = `issuer.${environment}`;
  if (answer === null)
    return [
      fail(
        check,
        `${issuer} cannot be reached: ${why}`,
        "check that control runs and that --identity-url is what clients use",
      ),
    ];
  if (answer.status !== 200)
    return [
      fail(
        check,
        `${issuer} answered ${answer.status}`,
        "check that this environment is in the estate that was applied",
      ),
    ];
  const keys =
    answer.keys === 0
      ? fail(
          check,
          `${issuer} publishes no key`,
          "wait for a gateway to acknowledge the first key, or see sallyport status",
        )
      : good(check, `${issuer}: metadata and ${answer.keys} keys in ${answer.tookMs.toFixed(0)} ms`);
  return [keys, ...(answer.dateMs === null ? [] : [decideClock("clock.control", answer.dateMs, answer)])];
}

/** A Date header has whole seconds, and was written while we waited. */
export function decideClock(
  check: string,
  dateMs: number,
  asked: { readonly askedMs: number; readonly tookMs: number },
): CheckResult {
  const early = asked.askedMs - (dateMs + 999);
  const late = dateMs - (asked.askedMs + asked.tookMs);
  const offMs = Math.max(0, early, late);
  const measured =
    offMs === 0
      ? "this clock agrees with control's, as far as a Date header shows"
      : `this clock and control's are at least ${(offMs / 1_000).toFixed(1)} s apart`;
  const fix = "synchronise both with NTP (chrony, systemd-timesyncd): tokens and proofs are judged by the clock";
  if (offMs >= skewFailMs) return fail(check, measured, fix);
  return offMs >= skewWarnMs ? warn(check, measured, fix) : good(check, measured);
}
