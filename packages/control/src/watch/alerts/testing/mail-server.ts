// Promises a mail server as far as a submitting client sees one: greeting, EHLO, STARTTLS, AUTH, envelopes, dot-stuffed messages; and one that is told to
// misbehave. Trusts nothing it is sent. Specified by RFC 5321, RFC 3207, RFC 4954. For tests.

import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import { type TestName, testCertificate } from "../../../identity/certificates.test-support.ts";

export interface ReceivedMail {
  readonly from: string;
  readonly to: readonly string[];
  /** As it is after dots were taken out; lines end in CRLF. */
  readonly text: string;
  readonly user: string | null;
}

export interface MailServerOptions {
  /** TLS from the first byte; absent: STARTTLS. */
  readonly implicit?: boolean;
  readonly login?: { readonly user: string; readonly password: string };
  /** What AUTH offers; default `PLAIN LOGIN`. */
  readonly auth?: string;
  /** Names in its certificate; default 127.0.0.1. */
  readonly names?: readonly TestName[];
  /** The word STARTTLS is taken out of the answer to EHLO, as somebody in between would. */
  readonly strips?: boolean;
  /** Sent in clear right behind the word for TLS. */
  readonly injects?: string;
  /** The answer to a command, in place of the usual one; null: the usual one. `""`: none at all. */
  readonly answers?: (line: string) => string | null;
}

export interface MailServer {
  /** `smtp://127.0.0.1:port` or `smtps://…`. */
  readonly url: string;
  /** PEM roots that its certificate chains to. */
  readonly ca: string;
  readonly mails: readonly ReceivedMail[];
  /** Every line that came in clear. */
  readonly clear: readonly string[];
  /** Every line that came under TLS. */
  readonly sealed: readonly string[];
  close(): Promise<void>;
}

interface Shared {
  readonly options: MailServerOptions;
  readonly cert: string;
  readonly key: string;
  readonly mails: ReceivedMail[];
  readonly clear: string[];
  readonly sealed: string[];
}

export async function startMailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const { cert, key } = testCertificate(options.names ?? [{ type: "ip", value: "127.0.0.1" }]);
  const shared: Shared = { options, cert, key, mails: [], clear: [], sealed: [] };
  const sockets = new Set<Socket>();
  const serve = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    new Session(socket, shared, options.implicit === true).begin();
  };
  const server: Server =
    options.implicit === true ? createTlsServer({ cert, key }, serve) : createServer((socket) => serve(socket));
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP listener always has one
  return {
    url: `${options.implicit === true ? "smtps" : "smtp"}://127.0.0.1:${port}`,
    ca: cert,
    mails: shared.mails,
    clear: shared.clear,
    sealed: shared.sealed,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

class Session {
  #socket: Socket;
  readonly #shared: Shared;
  #isSealed: boolean;
  #text = "";
  #user: string | null = null;
  /** What the next line is, where it is no command. */
  #expects: "user" | "password" | "data" | null = null;
  #asked = "";
  #from = "";
  #to: string[] = [];
  #data: string[] = [];

  constructor(socket: Socket, shared: Shared, isSealed: boolean) {
    this.#socket = socket;
    this.#shared = shared;
    this.#isSealed = isSealed;
  }

  begin(): void {
    this.#listen();
    this.#say(this.#shared.options.answers?.("") ?? "220 mail.test ESMTP");
  }

  #listen(): void {
    this.#socket.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString("latin1");
      for (let end = this.#text.indexOf("\r\n"); end >= 0; end = this.#text.indexOf("\r\n")) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        this.#take(line);
      }
    });
  }

  #say(text: string): void {
    if (text !== "" && this.#socket.writable) this.#socket.write(`${text}\r\n`);
  }

  #take(line: string): void {
    const { clear, sealed, options } = this.#shared;
    (this.#isSealed ? sealed : clear).push(line);
    if (this.#expects === "data") this.#takeData(line);
    else this.#say(options.answers?.(line) ?? this.#answer(line));
  }

  #answer(line: string): string {
    if (this.#expects !== null) return this.#credential(line);
    const [verb = "", rest = ""] = [line.split(" ")[0]?.toUpperCase(), line.slice(line.indexOf(" ") + 1)];
    switch (verb) {
      case "EHLO":
        return this.#offers();
      case "STARTTLS":
        return this.#startTls();
      case "AUTH":
        return this.#auth(rest);
      case "MAIL":
        return this.#mayMail(rest);
      case "RCPT":
        this.#to.push(/<(.*)>/.exec(rest)?.[1] ?? "");
        return "250 2.1.5 Ok";
      case "DATA":
        this.#expects = "data";
        return "354 End data with <CR><LF>.<CR><LF>";
      case "QUIT":
        this.#say("221 2.0.0 Bye");
        this.#socket.end();
        return "";
      default:
        // Real servers repeat what they do not understand.
        return `500 5.5.2 Error: command not recognized: ${line}`;
    }
  }

  #offers(): string {
    const { login, auth = "PLAIN LOGIN", strips = false } = this.#shared.options;
    const more = [
      ...(this.#isSealed || strips ? [] : ["STARTTLS"]),
      ...(this.#isSealed && login !== undefined ? [`AUTH ${auth}`] : []),
      "ENHANCEDSTATUSCODES",
    ];
    return ["250-mail.test", ...more.map((word, at) => `250${at === more.length - 1 ? " " : "-"}${word}`)].join("\r\n");
  }

  #startTls(): string {
    const { cert, key, options } = this.#shared;
    this.#socket.removeAllListeners("data");
    this.#socket.write(`220 2.0.0 Ready to start TLS\r\n${options.injects ?? ""}`);
    const sealed = new TLSSocket(this.#socket, { isServer: true, cert, key });
    sealed.on("error", () => undefined);
    this.#socket = sealed;
    this.#isSealed = true;
    // What was said in clear says nothing here (RFC 3207 §4.2).
    this.#text = "";
    this.#listen();
    return "";
  }

  #auth(rest: string): string {
    const [way, given] = rest.split(" ");
    if (way === "PLAIN") {
      const [, user = "", password = ""] = Buffer.from(given ?? "", "base64")
        .toString("utf8")
        .split("\0");
      return this.#judge(user, password);
    }
    this.#expects = "user";
    return "334 VXNlcm5hbWU6";
  }

  #credential(line: string): string {
    const text = Buffer.from(line, "base64").toString("utf8");
    if (this.#expects === "user") {
      this.#asked = text;
      this.#expects = "password";
      return "334 UGFzc3dvcmQ6";
    }
    this.#expects = null;
    return this.#judge(this.#asked, text);
  }

  #judge(user: string, password: string): string {
    const { login } = this.#shared.options;
    if (login === undefined || user !== login.user || password !== login.password)
      return `535 5.7.8 Error: authentication failed: ${user} ${password}`;
    this.#user = user;
    return "235 2.7.0 Authentication successful";
  }

  #mayMail(rest: string): string {
    const { login } = this.#shared.options;
    if (!this.#isSealed) return "530 5.7.0 Must issue a STARTTLS command first";
    if (login !== undefined && this.#user === null) return "530 5.7.0 Authentication required";
    this.#from = /<(.*)>/.exec(rest)?.[1] ?? "";
    return "250 2.1.0 Ok";
  }

  #takeData(line: string): void {
    if (line !== ".") {
      this.#data.push(line.startsWith(".") ? line.slice(1) : line);
      return;
    }
    this.#expects = null;
    const text = this.#data.map((one) => `${one}\r\n`).join("");
    const answer = this.#shared.options.answers?.(".") ?? "250 2.0.0 Ok: queued";
    if (answer.startsWith("250")) this.#shared.mails.push({ from: this.#from, to: this.#to, text, user: this.#user });
    this.#say(answer);
  }
}
