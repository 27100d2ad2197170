// Promises that a password is kept only as Argon2id with named parameters, that checking one costs the same whether or not there is an account,
// and that no flood of log-ins takes the process: so many at once, so many waiting, so many of one network. Trusts node:crypto.
// Specified in RFC 9106 (Argon2id, version 0x13); parameters: docs/identity/people.md "Passwords".
import { argon2, timingSafeEqual } from "node:crypto";
import type { Random } from "@sallyport/kernel/ports.ts";

export interface PasswordParameters {
  /** KiB. */
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

/** What new hashes are made with; a hash made with others is replaced at the next log-in. */
export const passwordParameters: PasswordParameters = { memory: 19_456, passes: 2, parallelism: 1 };
/** A stored hash that asks for more is not computed: a changed row must not take the machine. */
const memoryMax = 262_144;
const passesMax = 16;
const parallelismMax = 4;
const saltBytes = 16;
const tagBytes = 32;

export const passwordLengthMin = 12;
/** UTF-8 bytes after normalisation. */
export const passwordBytesMax = 1_024;
const distinctMin = 5;

export interface PasswordHash {
  readonly parameters: PasswordParameters;
  readonly salt: Uint8Array;
  readonly tag: Uint8Array;
}

const phc = /^\$argon2id\$v=19\$m=([1-9]\d{0,6}),t=([1-9]\d?),p=([1-9])\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

/** `$argon2id$v=19$m=…,t=…,p=…$salt$tag`, or null for anything else, parameters beyond our bounds included. */
export function parsePasswordHash(text: string): PasswordHash | null {
  const [, memory, passes, parallelism, salt, tag] = phc.exec(text) ?? [];
  if (salt === undefined || tag === undefined) return null;
  const parameters = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  const hash = { parameters, salt: Buffer.from(salt, "base64"), tag: Buffer.from(tag, "base64") };
  const isBounded =
    parameters.memory <= memoryMax &&
    parameters.memory >= 8 * parameters.parallelism &&
    parameters.passes <= passesMax &&
    parameters.parallelism <= parallelismMax;
  return isBounded && printPasswordHash(hash) === text ? hash : null;
}

export function printPasswordHash({ parameters, salt, tag }: PasswordHash): string {
  const bare = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replaceAll("=", "");
  const { memory, passes, parallelism } = parameters;
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${bare(salt)}$${bare(tag)}`;
}

/** One spelling per password (NFKC, as NIST SP 800-63B §5.1.1.2 asks), or null for what is no password. */
export function normalizePassword(text: string): Uint8Array | null {
  if (!text.isWellFormed() || text.includes("\0") || text.length > passwordBytesMax) return null;
  const bytes = Buffer.from(text.normalize("NFKC"));
  return bytes.length >= 1 && bytes.length <= passwordBytesMax ? bytes : null;
}

/** What is wrong with a new password, as a sentence for the person who chose it; null when nothing is. */
export function weaknessOf(password: string, name: string): string | null {
  const characters = [...password.normalize("NFKC")];
  if (characters.length < passwordLengthMin) return `A password has at least ${passwordLengthMin} characters.`;
  if (normalizePassword(password) === null) return `A password has at most ${passwordBytesMax} bytes.`;
  if (new Set(characters).size < distinctMin) return `A password has at least ${distinctMin} different characters.`;
  if (name !== "" && password.toLowerCase().includes(name.toLowerCase()))
    return "A password does not contain the name you sign in with.";
  return null;
}

export type PasswordVerdict =
  /** `rehash`: the same password under today's parameters, when the stored hash was made with others. */
  | { readonly kind: "match"; readonly rehash: string | null }
  | { readonly kind: "no-match" }
  /** Too many at once; nothing was computed. */
  | { readonly kind: "busy" };

export interface Passwords {
  /** A hash for the store, or null when too many are being made. `password` must have passed `weaknessOf`. */
  hash(password: string, source: string): Promise<string | null>;
  /** `stored` null (no such account, or one without a password) costs what a wrong password costs. `source`: the caller's network. */
  verify(password: string, stored: string | null, source: string): Promise<PasswordVerdict>;
}

export interface PasswordOptions {
  readonly random: Random;
  readonly parameters?: PasswordParameters;
  /** Computed at once; they run in the thread pool that files and names use too. */
  readonly concurrent?: number;
  readonly waitingMax?: number;
  /** Of one network, computed and waiting. */
  readonly ofSourceMax?: number;
}

export function createPasswords(options: PasswordOptions): Passwords {
  const { random, parameters = passwordParameters } = options;
  const places = new Places(options.concurrent ?? 2, options.waitingMax ?? 64, options.ofSourceMax ?? 8);
  const decoy: PasswordHash = { parameters, salt: random.bytes(saltBytes), tag: random.bytes(tagBytes) };
  const make = async (bytes: Uint8Array): Promise<string> => {
    const salt = random.bytes(saltBytes);
    return printPasswordHash({ parameters, salt, tag: await derive(bytes, salt, parameters) });
  };
  return {
    hash: async (password, source) => {
      const bytes = normalizePassword(password);
      if (bytes === null) throw new TypeError("a password that was refused is not hashed");
      return places.use(source, () => make(bytes));
    },
    verify: async (password, stored, source) => {
      const known = stored === null ? null : parsePasswordHash(stored);
      const against = known ?? decoy;
      const bytes = normalizePassword(password);
      const verdict = await places.use(source, async (): Promise<PasswordVerdict> => {
        const tag = await derive(bytes ?? new Uint8Array(1), against.salt, against.parameters);
        const isSame = timingSafeEqual(tag, against.tag);
        if (!isSame || known === null || bytes === null) return { kind: "no-match" };
        return { kind: "match", rehash: isToday(known.parameters, parameters) ? null : await make(bytes) };
      });
      return verdict ?? { kind: "busy" };
    },
  };
}

const isToday = (a: PasswordParameters, b: PasswordParameters): boolean =>
  a.memory === b.memory && a.passes === b.passes && a.parallelism === b.parallelism;

function derive(message: Uint8Array, nonce: Uint8Array, parameters: PasswordParameters): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  argon2("argon2id", { message, nonce, tagLength: tagBytes, ...parameters }, (error, tag) =>
    error === null ? resolve(tag) : reject(error),
  );
  return promise;
}

/** So many at once, so many waiting in order, and of both so many of one source. */
class Places {
  readonly #concurrent: number;
  readonly #waitingMax: number;
  readonly #ofSourceMax: number;
  readonly #waiting: (() => void)[] = [];
  readonly #sources = new Map<string, number>();
  #running = 0;

  constructor(concurrent: number, waitingMax: number, ofSourceMax: number) {
    this.#concurrent = concurrent;
    this.#waitingMax = waitingMax;
    this.#ofSourceMax = ofSourceMax;
  }

  /** null: there was no place. */
  async use<T>(source: string, work: () => Promise<T>): Promise<T | null> {
    const held = this.#sources.get(source) ?? 0;
    const mustWait = this.#running >= this.#concurrent;
    if (held >= this.#ofSourceMax || (mustWait && this.#waiting.length >= this.#waitingMax)) return null;
    this.#sources.set(source, held + 1);
    if (mustWait) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const left = (this.#sources.get(source) ?? 1) - 1;
      if (left === 0) this.#sources.delete(source);
      else this.#sources.set(source, left);
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
