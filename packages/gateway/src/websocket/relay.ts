// Promises that what leaves on one side of a WebSocket is what was judged on the other, piece by piece, as fast as it is taken and no faster; and that
// whoever ends it, both sides are told why and the end is known once. Trusts frame-reader.ts for what a frame is.
// Specified in RFC 6455 §5.4 (an intermediary may fragment), §7; docs/websocket.md.
import type { ByteTunnel, TunnelTaker } from "@sallyport/kernel/dial/byte-tunnel.ts";
import type { Random } from "@sallyport/kernel/ports.ts";
import type { WebSocketRule } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { Deadlines, type Due } from "../forward/deadlines.ts";
import { closeWord } from "./close-code.ts";
import { type FrameFault, FrameReader, opcodes } from "./frame-reader.ts";
import { closePayload, frame, partOpcode } from "./frame-writer.ts";

/** After one side's Close: how long the other has for its own. */
export const closeMs = 2_000;

export type RelayEnd =
  /** Both have closed it. */
  | { readonly kind: "closed" }
  /** The caller went away without a Close. */
  | { readonly kind: "caller-gone" }
  | { readonly kind: "ended"; readonly verdict: Deny };

/** What passed; the gateway's side of the books. */
export interface RelayCounts {
  bytesIn: number;
  bytesOut: number;
  messagesIn: number;
  messagesOut: number;
}

export interface RelayOptions {
  readonly caller: ByteTunnel;
  readonly provider: ByteTunnel;
  readonly rule: WebSocketRule;
  readonly random: Random;
  readonly counts: RelayCounts;
  /** Octets passed, after they were counted. */
  passed(): void;
  over(end: RelayEnd): void;
}

const deadlines = new Deadlines();
const goingAway = 1001;

type SideName = "caller" | "provider";

/** One side as the relay sees it. */
interface Side {
  readonly tunnel: ByteTunnel;
  readonly reader: FrameReader;
  /** A Close was sent to it: nothing may follow. */
  isTold: boolean;
}

export class WebSocketRelay implements Due {
  dueAtMs: number;
  place = -1;
  readonly #options: RelayOptions;
  readonly #caller: Side;
  readonly #provider: Side;
  #isOver = false;
  #isClosing = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#caller = this.#side("caller", options.caller);
    this.#provider = this.#side("provider", options.provider);
    this.dueAtMs = performance.now() + options.rule.idleMs;
  }

  /** From here on frames pass. */
  begin(): void {
    deadlines.watch(this);
    this.#provider.tunnel.take(this.#taker("provider"));
    // The first one's octets may have ended it already.
    if (!this.#isOver) this.#caller.tunnel.take(this.#taker("caller"));
  }

  /** Ends it from outside. */
  end(verdict: Deny): void {
    const { code, reason } = closeWord(verdict);
    this.#finish(
      { kind: "ended", verdict },
      { caller: closePayload(code, reason), provider: closePayload(goingAway, "") },
    );
  }

  overdue(): void {
    if (this.#isClosing) this.#finish({ kind: "closed" }, {});
    else
      this.end(
        deny("inspect", "request-timeout", { bound: `${this.#options.rule.idleMs} ms without a frame either way` }),
      );
  }

  #side(name: SideName, tunnel: ByteTunnel): Side {
    const other = (): Side => (name === "caller" ? this.#provider : this.#caller);
    const { rule, counts } = this.#options;
    const reader = new FrameReader(
      { isMasked: name === "caller", messageBytesMax: rule.messageBytesMax },
      {
        onPart: (piece, of) => {
          if (of.isLast && name === "caller") counts.messagesIn++;
          if (of.isLast && name === "provider") counts.messagesOut++;
          this.#send(other(), piece, { opcode: partOpcode(of), isFinal: of.isLast });
        },
        onControl: (opcode, payload) => this.#send(other(), payload, { opcode, isFinal: true }),
        onClose: (payload) => this.#closed(name, payload),
      },
    );
    return { tunnel, reader, isTold: false };
  }

  #taker(name: SideName): TunnelTaker {
    const side = name === "caller" ? this.#caller : this.#provider;
    const other = name === "caller" ? this.#provider : this.#caller;
    return {
      data: (octets) => this.#read(name, side, octets),
      drained: () => {
        if (!this.#isOver) other.tunnel.resume();
      },
      ended: () => this.#gone(name),
    };
  }

  #read(name: SideName, side: Side, octets: Buffer): void {
    if (this.#isOver) return;
    const { counts, rule } = this.#options;
    if (name === "caller") counts.bytesIn += octets.length;
    else counts.bytesOut += octets.length;
    if (!this.#isClosing) this.dueAtMs = performance.now() + rule.idleMs;
    const wrong = side.reader.feed(octets);
    if (wrong !== null) this.#refuse(name, wrong);
    else if ((name === "caller" ? counts.bytesIn : counts.bytesOut) > rule.bytesMax)
      this.end(deny("inspect", "body-too-large", { bound: `${rule.bytesMax} octets of one side` }));
    else this.#options.passed();
  }

  #send(to: Side, payload: Buffer, shape: { readonly opcode: number; readonly isFinal: boolean }): void {
    if (to.isTold || this.#isOver) return;
    const mask = to === this.#provider ? this.#options.random.bytes(4) : null;
    if (to.tunnel.write(frame(payload, { ...shape, mask }))) return;
    // Until what was written has left, the side it came from is read no further.
    (to === this.#provider ? this.#caller : this.#provider).tunnel.pause();
  }

  #tell(to: Side, payload: Buffer): void {
    this.#send(to, payload, { opcode: opcodes.close, isFinal: true });
    to.isTold = true;
  }

  /** One side has closed: the other is told, and has a moment for its own Close, unless this was it. */
  #closed(name: SideName, payload: Buffer): void {
    const other = name === "caller" ? this.#provider : this.#caller;
    this.#tell(other, payload);
    if (other.reader.isClosed) {
      this.#finish({ kind: "closed" }, {});
      return;
    }
    this.#isClosing = true;
    this.dueAtMs = performance.now() + closeMs;
  }

  #gone(name: SideName): void {
    if (this.#isOver) return;
    // Whoever has said goodbye may go.
    if (this.#isClosing) this.#finish({ kind: "closed" }, {});
    else if (name === "caller") this.#finish({ kind: "caller-gone" }, { provider: closePayload(goingAway, "") });
    else this.end(deny("forward", "upstream-protocol", { why: "the provider's connection ended without a Close" }));
  }

  #refuse(name: SideName, { closeCode, why }: FrameFault): void {
    if (name === "caller") {
      const code = closeCode === 1009 ? "body-too-large" : "websocket-malformed";
      this.end(deny("inspect", code, { why, closeCode: String(closeCode) }));
      return;
    }
    const verdict = deny("forward", "upstream-protocol", { why: `the provider sent ${why}` });
    const { code, reason } = closeWord(verdict);
    this.#finish(
      { kind: "ended", verdict },
      { caller: closePayload(code, reason), provider: closePayload(closeCode, "") },
    );
  }

  #finish(end: RelayEnd, words: { readonly caller?: Buffer; readonly provider?: Buffer }): void {
    if (this.#isOver) return;
    if (words.caller !== undefined) this.#tell(this.#caller, words.caller);
    if (words.provider !== undefined) this.#tell(this.#provider, words.provider);
    this.#isOver = true;
    deadlines.end(this);
    this.#caller.tunnel.end();
    this.#provider.tunnel.end();
    this.#options.over(end);
  }
}
