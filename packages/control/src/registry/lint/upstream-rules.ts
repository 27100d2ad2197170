// Promises to find upstreams that give the connection away or lead where no upstream should be, and walls between environments with a door. Pure.
// Trusts nothing of what a name resolves to: that is judged at every dial (kernel/dial). Pages: docs/lint.
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { needsPrivateWord } from "../config/private-hosts.ts";
import { placesOf } from "../config/read-resilience.ts";
import { dayMs, dayOf, type Hit, type LintSubject, listed, onSystems, type Rule, type SystemSubject } from "./rule.ts";

/** Where clouds and container platforms hand out credentials to whoever asks from inside. */
const metadataHosts = new Set([
  "169.254.169.254",
  "169.254.170.2",
  "169.254.170.23",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
  "[fd00:ec2::254]",
  "metadata.google.internal",
  "metadata.goog",
  "metadata",
  "instance-data",
  "instance-data.ec2.internal",
]);

/** Ports of databases, caches, brokers and administration: no business API listens there. */
const infrastructurePorts: ReadonlyMap<string, string> = new Map([
  ["22", "SSH"],
  ["25", "mail"],
  ["1433", "SQL Server"],
  ["2375", "the Docker engine"],
  ["2376", "the Docker engine"],
  ["2379", "etcd"],
  ["3306", "MySQL"],
  ["3389", "remote desktop"],
  ["5432", "PostgreSQL"],
  ["5672", "RabbitMQ"],
  ["6379", "Redis"],
  ["6443", "the Kubernetes API"],
  ["8500", "Consul"],
  ["9092", "Kafka"],
  ["9200", "Elasticsearch"],
  ["10250", "the kubelet"],
  ["11211", "memcached"],
  ["27017", "MongoDB"],
]);

const privateSuffix = /(^|\.)(internal|local|localhost|lan|intra|intranet|corp|private|svc|home\.arpa|test)$/;

/** A month, or a third of a shorter life: automatic renewal is late by then. */
const certificateSoonDays = 30;

interface Shown {
  /** Of the first in the chain to end. */
  readonly endMs: number;
  readonly lifeMs: number;
  readonly lint: LintSubject;
}

/** `check`: what is wrong with the certificate of a system. */
function onShown(check: (shown: Shown) => string | null): NonNullable<Rule["check"]> {
  return (lint) =>
    onSystems(({ system, at }) => {
      const chain = system.upstream?.certificate?.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
      const lives = chain
        .map((pem) => new X509Certificate(pem))
        .map(({ validFrom, validTo }) => ({
          endMs: Date.parse(validTo),
          lifeMs: Date.parse(validTo) - Date.parse(validFrom),
        }));
      const [first] = lives.sort((a, b) => a.endMs - b.endMs);
      const wrong = first === undefined ? null : check({ ...first, lint });
      return (
        wrong !== null && { at: at("tls", "certificate"), message: `the certificate for \`${system.id}\` ${wrong}` }
      );
    })(lint);
}

interface Upstream extends SystemSubject {
  readonly url: URL;
  readonly host: string;
}

function onUpstreams(check: (upstream: Upstream) => readonly Hit[] | Hit | null | false): NonNullable<Rule["check"]> {
  return onSystems((subject) => {
    const { upstream } = subject.system;
    if (upstream === undefined) return [];
    return placesOf(upstream).flatMap((place, i) => {
      const url = new URL(place.url);
      const at: SystemSubject["at"] = (...path) =>
        path[0] === "url" && upstream.endpoints !== undefined ? subject.at("endpoints", i) : subject.at(...path);
      return listed(check({ ...subject, at, url, host: url.hostname.replace(/\.$/, "") }));
    });
  });
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || /^127\.\d+\.\d+\.\d+$/.test(host) || host === "[::1]";
}

function isAddress(host: string): boolean {
  return isIP(host.replace(/^\[|\]$/g, "")) !== 0;
}

export const upstreamRules: readonly Rule[] = [
  {
    id: "upstream-cleartext",
    severity: "warning",
    title: "An upstream is reached over plain http",
    why: "Everybody on the way reads and changes what crosses, and nothing proves that the answer is the provider's.",
    fix: "serve it over https, with `tls.ca` for a certificate of your own CA",
    waivable: true,
    check: onUpstreams(
      ({ url, host, at }) =>
        url.protocol === "http:" &&
        !isLoopback(host) && { at: at("url"), message: `everything to \`${host}\` crosses the network in clear` },
    ),
  },
  {
    id: "upstream-metadata",
    severity: "error",
    title: "An upstream is the metadata service of a cloud",
    why: "It answers with the credentials of the machine: published as an operation, every granted caller gets them.",
    fix: "remove the system; no integration needs the metadata service",
    waivable: true,
    check: onUpstreams(
      ({ host, at }) =>
        metadataHosts.has(host) && { at: at("url"), message: `\`${host}\` hands out the credentials of the machine` },
    ),
  },
  {
    id: "upstream-address",
    severity: "info",
    title: "An upstream is named by its address",
    why: "An address is given to another machine one day; then it gets the calls. A name moves along, and a certificate proves it.",
    fix: "write the name of the host",
    waivable: true,
    check: onUpstreams(
      ({ host, at }) =>
        isAddress(host) &&
        !isLoopback(host) &&
        !metadataHosts.has(host) && { at: at("url"), message: `\`${host}\` is an address, not a name` },
    ),
  },
  {
    id: "private-word-not-needed",
    severity: "warning",
    title: "`allowPrivate` for an upstream with a public address",
    why: "The word switches off the refusal of private addresses: whoever controls the name's DNS then chooses a machine inside your network (rebinding).",
    fix: "remove `allowPrivate`",
    waivable: true,
    check: onUpstreams(({ system, host, at }) => {
      if (system.upstream?.allowPrivate !== true || needsPrivateWord(host)) return [];
      const message = `\`allowPrivate\` lets \`${host}\` lead into your own network`;
      if (isAddress(host)) return { at: at("allowPrivate"), message };
      // A name within the company usually leads to a private address, and then the word is right.
      return host.includes(".") && !privateSuffix.test(host) && { at: at("allowPrivate"), message, severity: "info" };
    }),
  },
  {
    id: "upstream-infrastructure-port",
    severity: "warning",
    title: "An upstream listens on the port of a database or of administration",
    why: "What listens there is rarely a business API; published, a caller speaks to the machinery behind it.",
    fix: "put a service in front of it and name that one",
    waivable: true,
    check: onUpstreams(({ url, at }) => {
      const what = infrastructurePorts.get(url.port);
      return what !== undefined && { at: at("url"), message: `port ${url.port} is where ${what} listens` };
    }),
  },
  {
    id: "upstream-is-gateway",
    severity: "warning",
    title: "An upstream is one of the gateway's own listeners",
    why: "A call goes round until something gives up, and each round is a crossing of its own in the log.",
    fix: "name the host behind the gateway",
    waivable: true,
    check: onUpstreams(
      ({ url, environment, at }) =>
        environment.listeners.some((listener) => new URL(listener.url).host === url.host) && {
          at: at("url"),
          message: `\`${url.host}\` is a listener of this gateway`,
        },
    ),
  },
  {
    id: "upstream-without-own-roots",
    severity: "info",
    title: "An internal https upstream is checked against the public roots",
    why: "No public CA issues for internal names: either the call fails, or somebody gave an internal host a public name.",
    fix: "name the bundle of your own CA under `tls.ca`",
    waivable: true,
    check: onUpstreams(
      ({ system, url, host, at }) =>
        url.protocol === "https:" &&
        system.upstream?.trust === undefined &&
        privateSuffix.test(host) &&
        !isLoopback(host) && { at: at("url"), message: `no public CA issues a certificate for \`${host}\`` },
    ),
  },
  {
    id: "upstream-certificate-expired",
    severity: "error",
    title: "A certificate that gateways show to a provider has expired",
    why: "The provider refuses every connection: nothing of this system is reached any more.",
    fix: "put the key of its successor into the folder of `--upstream-keys`, then name the successor here",
    waivable: true,
    check: onShown(({ endMs, lint }) => (endMs <= lint.now ? `ended on ${dayOf(endMs)}` : null)),
  },
  {
    id: "upstream-certificate-expires-soon",
    severity: "warning",
    title: "A certificate that gateways show to a provider expires soon",
    why: "On that day the provider refuses every connection, and a partner takes days to issue another one.",
    fix: "have a successor issued, put its key into the folder of `--upstream-keys`, then name it here",
    waivable: true,
    check: onShown(({ endMs, lifeMs, lint }) => {
      const soonMs = Math.min(certificateSoonDays * dayMs, lifeMs / 3);
      return endMs > lint.now && endMs <= lint.now + soonMs ? `ends on ${dayOf(endMs)}` : null;
    }),
  },
  {
    id: "upstream-across-environments",
    severity: "warning",
    title: "Two environments have the same upstream",
    why: "A test in one changes data in the other; a token wall in front of one and the same service is no wall.",
    fix: "give each environment a service of its own, and its `url` under `environments`",
    waivable: true,
    check: (lint) => {
      const all = lint.environments.flatMap(({ config, systems }) =>
        systems.flatMap(({ system, at }) =>
          (system.upstream === undefined ? [] : placesOf(system.upstream)).map(({ url }, i) => ({
            ...{ url, name: config.name, id: system.id },
            at: system.upstream?.endpoints === undefined ? at("url") : at("endpoints", i),
          })),
        ),
      );
      return [...Map.groupBy(all, ({ url }) => url).values()].flatMap((same) => {
        const names = [...new Set(same.map(({ name }) => name))];
        if (names.length < 2) return [];
        return same.map(
          ({ at, id }): Hit => ({ at, message: `\`${id}\` leads to the same place in ${names.join(" and ")}` }),
        );
      });
    },
  },
];
