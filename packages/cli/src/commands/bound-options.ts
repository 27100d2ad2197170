// Promises what a source may take of a gateway before anybody is identified, where an operator says it: one option, each bound by its name, and nothing that
// would switch one off. Trusts nothing. Specified in docs/gateway.md (listen).
import type { GatewayOptions } from "@sallyport/gateway/ports.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";

export type SourceBounds = Pick<GatewayOptions, "admission" | "bounds" | "door">;

export interface RawBoundOptions {
  readonly role: string;
  readonly bound?: readonly string[];
}

interface NamedBound {
  readonly min: number;
  readonly max: number;
  of(value: number): SourceBounds;
}

const bound = (min: number, max: number, of: NamedBound["of"]): NamedBound => ({ min, max, of });

const named: ReadonlyMap<string, NamedBound> = new Map([
  ["connections", bound(1, 1_000_000, (connectionsMax) => ({ bounds: { connectionsMax } }))],
  ["connections-per-source", bound(1, 1_000_000, (value) => ({ door: { connectionsPerPrefixMax: value } }))],
  ["handshakes", bound(1, 100_000, (handshakesMax) => ({ door: { handshakesMax } }))],
  ["handshakes-per-source", bound(1, 100_000, (value) => ({ door: { handshakesPerPrefixMax: value } }))],
  ["handshakes-per-source-10s", bound(1, 1_000_000, (value) => ({ door: { handshakesPerPrefixWindowMax: value } }))],
  ["in-flight", bound(1, 1_000_000, (inFlightMax) => ({ admission: { inFlightMax } }))],
  ["in-flight-per-source", bound(1, 1_000_000, (value) => ({ admission: { inFlightPerPrefixMax: value } }))],
  ["requests-per-source-10s", bound(1, 10_000_000, (value) => ({ admission: { requestsPerPrefixMax: value } }))],
  [
    "bad-credentials-per-source-10s",
    bound(1, 1_000_000, (value) => ({ admission: { badCredentialsPerPrefixMax: value } })),
  ],
  ["bad-credentials-pause", bound(1, 3_600, (seconds) => ({ admission: { badCredentialsPauseMs: seconds * 1_000 } }))],
  ["sources", bound(1_024, 1_048_576, (prefixesMax) => ({ admission: { prefixesMax }, door: { prefixesMax } }))],
]);
const v4Default = 24;
const v6Default = 48;

export function addBoundOptions(serve: Command): Command {
  return serve.option(
    "--bound <name=number...>",
    "what a source may take before anybody is identified, for example connections-per-source=200 source-v4=32 (docs/gateway.md); default: as listed there",
  );
}

export function readBounds({ role, bound: texts = [] }: RawBoundOptions): SourceBounds {
  if (texts.length > 0 && role === "control")
    throw new CommandEnd(exitCode.badUse, "--bound is for gateways", "give it to the gateways, or use --role all");
  const lengths = { v4: v4Default, v6: v6Default };
  let all: SourceBounds = {};
  let isNarrowed = false;
  for (const text of texts) {
    const [, name = "", digits = ""] = /^([a-z0-9-]+)=(\d{1,8})$/.exec(text) ?? [];
    const value = Number(digits);
    if (name === "source-v4" || name === "source-v6") {
      const family = name === "source-v4" ? "v4" : "v6";
      lengths[family] = inRange(text, value, family === "v4" ? { min: 8, max: 32 } : { min: 16, max: 64 });
      isNarrowed = true;
      continue;
    }
    const known = named.get(name);
    if (known === undefined)
      throw bad(
        `${text} names no bound`,
        `write <name>=<number> with one of ${[...named.keys(), "source-v4", "source-v6"].join(", ")}`,
      );
    all = merge(all, known.of(inRange(text, value, known)));
  }
  return isNarrowed ? merge(all, { admission: { prefixLengths: lengths }, door: { prefixLengths: lengths } }) : all;
}

function inRange(text: string, value: number, { min, max }: { readonly min: number; readonly max: number }): number {
  if (value >= min && value <= max) return value;
  throw bad(`${text} is out of range`, `choose ${min} to ${max}`);
}

function merge(one: SourceBounds, other: SourceBounds): SourceBounds {
  return {
    admission: { ...one.admission, ...other.admission },
    bounds: { ...one.bounds, ...other.bounds },
    door: { ...one.door, ...other.door },
  };
}

function bad(what: string, fix: string): CommandEnd {
  return new CommandEnd(exitCode.badUse, `--bound ${what}`, fix);
}
