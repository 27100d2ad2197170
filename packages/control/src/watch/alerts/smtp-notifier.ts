// Promises each message handed to a mail server that proved its name, over TLS from the first secret on; a server that does not offer TLS gets nothing.
// Trusts the server's certificate as far as its roots, and none of its words. Specified by RFC 5321, RFC 3207, RFC 4954, RFC 8314 and docs/alerts.md "Mail".
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { dialBytes, dialUpgraded } from "@sallyport/kernel/dial/byte-stream.ts";
import { asSinkFault } from "../../audit/export/http-sink.ts";
import { SinkFault } from "../../audit/export/sink.ts";
import type { SinkPlaceSettings } from "../../audit/export/sink-settings.ts";
import { everybody, type Notifier, Refusal, type Told } from "./notifier.ts";
import { type Envelope, smtpMessage } from "./smtp-message.ts";
import { type Reply, SmtpReplies } from "./smtp-replies.ts";

export interface SmtpTarget extends Envelope {
  /** Its origin is `https://host:port`, which says that it is TLS. */
  readonly place: SinkPlaceSettings;
  /** The connection begins in clear and must be upgraded (RFC 3207); false: TLS from the first byte. */
  readonly startTls: boolean;
  /** Null: the server lets us in without. */
  readonly login: { readonly user: string; readonly password: string } | null;
}

const connectTimeoutMs = 5_000;
const replyTimeoutMs = 10_000;
/** For a whole message. */
const totalTimeoutMs = 30_000;

export function smtpNotifier(target: SmtpTarget, now: () => number): Notifier {
  return {
    async tell(alert) {
      try {
        return await deliver(target, smtpMessage(alert, target, now()));
      } catch (error) {
        throw asSinkFault(error);
      }
    },
    close: () => Promise.resolve(),
  };
}

/** One connection for one message: findings are rare, and a server may forget a quiet one. */
async function deliver(target: SmtpTarget, message: string): Promise<Told> {
  const { socket, greeted } = await connected(target);
  const timer = setTimeout(() => socket.destroy(), totalTimeoutMs);
  try {
    const session = new Session(socket);
    if (!greeted) await session.greeting();
    const offers = await session.hello();
    if (target.login !== null) await session.login(target.login, offers);
    return await session.mail(target, message);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

async function connected(target: SmtpTarget): Promise<{ readonly socket: TLSSocket; readonly greeted: boolean }> {
  const { origin, allowPrivate, ca, identity } = target.place;
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, "");
  const options = {
    rules: { allowPrivateHosts: new Set(allowPrivate ? [host] : []), ownAddresses: new Set<string>() },
    tls: { ...(ca === null ? {} : { ca }), ...(identity ?? {}) },
    connectTimeoutMs,
  };
  const socket = target.startTls
    ? await dialUpgraded(origin, { ...options, asks: askForTls })
    : await dialBytes(origin, options);
  socket.on("error", () => undefined);
  return { socket, greeted: target.startTls };
}

/** Nothing is said in clear but that we want TLS; a server, or somebody in between, that does not offer it gets no more. */
async function askForTls(plain: Socket): Promise<Uint8Array> {
  const session = new Session(plain);
  await session.greeting();
  const offers = await session.hello();
  if (!offers.has("STARTTLS"))
    throw new SinkFault(
      "the mail server does not offer STARTTLS: nothing is sent in clear, write smtps:// if it takes TLS",
    );
  await session.say("STARTTLS", "STARTTLS", 220);
  return session.detach();
}

type Offers = ReadonlyMap<string, readonly string[]>;

class Session {
  readonly #socket: Socket;
  readonly #replies: SmtpReplies;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#replies = new SmtpReplies(socket, replyTimeoutMs);
  }

  async greeting(): Promise<void> {
    expect("the connection", await this.#replies.next(), 220);
  }

  /** What the server offers, by its first word in capitals. */
  async hello(): Promise<Offers> {
    const { lines } = await this.say(`EHLO ${literalOf(this.#socket)}`, "EHLO", 250);
    return new Map(
      lines.slice(1).map((line) => {
        const [word = "", ...more] = line.toUpperCase().split(/[ =]/);
        return [word, more];
      }),
    );
  }

  async login({ user, password }: NonNullable<SmtpTarget["login"]>, offers: Offers): Promise<void> {
    const ways = offers.get("AUTH") ?? [];
    if (ways.includes("PLAIN")) {
      await this.say(`AUTH PLAIN ${base64(`\0${user}\0${password}`)}`, "AUTH", 235);
      return;
    }
    if (!ways.includes("LOGIN"))
      throw new SinkFault(
        "the mail server offers neither AUTH PLAIN nor AUTH LOGIN: leave `user` out, or use another server",
      );
    await this.say("AUTH LOGIN", "AUTH", 334);
    await this.say(base64(user), "AUTH", 334);
    await this.say(base64(password), "AUTH", 235);
  }

  /** Whoever is refused holds up nobody else; nobody at all is a fault. */
  async mail({ from, recipients }: Envelope, message: string): Promise<Told> {
    await this.say(`MAIL FROM:<${from}>`, "MAIL FROM", 250);
    const refused: string[] = [];
    let isForGood = true;
    for (const to of recipients) {
      const reply = await this.#ask(`RCPT TO:<${to}>`);
      if (reply.code === 250 || reply.code === 251) continue;
      refused.push(answered(reply));
      isForGood &&= reply.code >= permanent;
    }
    const [why] = refused;
    if (refused.length === recipients.length)
      throw refusalOf(`the mail server refused every recipient (${why})`, isForGood);
    await this.say("DATA", "DATA", 354);
    await this.say(`${message}.`, "the message", 250);
    this.#socket.end("QUIT\r\n");
    if (why === undefined) return everybody;
    return {
      shortfall: `${refused.length} of ${recipients.length} recipients are refused by the mail server (${why})`,
    };
  }

  /** One command whose answer must be `code`. Throws SinkFault, in words without the command's text and the server's. */
  async say(line: string, name: string, code: number): Promise<Reply> {
    return expect(name, await this.#ask(line), code);
  }

  detach(): Uint8Array {
    return this.#replies.detach();
  }

  #ask(line: string): Promise<Reply> {
    this.#socket.write(`${line}\r\n`, "latin1");
    return this.#replies.next();
  }
}

/** The server's text may repeat what it was sent, a password among it: only its numbers are passed on. */
function expect(name: string, reply: Reply, code: number): Reply {
  if (reply.code === code) return reply;
  const fix = name === "AUTH" && reply.code === 535 ? ": it does not accept the credential" : "";
  throw refusalOf(`the mail server answered ${answered(reply)} to ${name}${fix}`, reply.code >= permanent);
}

/** RFC 5321 §4.2.1: from here on the same command will be refused again. */
const permanent = 500;

const refusalOf = (words: string, isForGood: boolean): SinkFault =>
  isForGood ? new Refusal(words) : new SinkFault(words);

const answered = ({ code, enhanced }: Reply): string => (enhanced === "" ? String(code) : `${code} ${enhanced}`);

const base64 = (text: string): string => Buffer.from(text, "utf8").toString("base64");

/** RFC 5321 §4.1.4: a client without a name of its own says its address. */
function literalOf({ localAddress = "127.0.0.1", localFamily }: Socket): string {
  return localFamily === "IPv6" ? `[IPv6:${localAddress}]` : `[${localAddress}]`;
}
