/** Puts the pieces of streamed tool calls together. They leave whole: half a call is of no use to anyone. */
import type { ToolCall } from "#contracts/chat.ts";
import { JetclawError } from "#contracts/errors.ts";

/** More calls, or longer arguments, are no answer of a sane model. */
const CALLS = 128;
const ARGUMENT_CHARS = 200_000;

interface Piece {
  readonly index?: unknown;
  readonly id?: unknown;
  readonly function?: { readonly name?: unknown; readonly arguments?: unknown } | null;
}

interface Call {
  readonly index: number;
  id: string;
  name: string;
  arguments: string;
}

export class ToolCallReader {
  readonly #calls: Call[] = [];
  #chars = 0;

  /** @throws JetclawError `model.unavailable` for what is no piece of a call */
  read(pieces: unknown): void {
    if (pieces === undefined || pieces === null) return;
    if (!Array.isArray(pieces)) throw garbage();
    for (const [position, piece] of (pieces as (Piece | null)[]).entries()) {
      // A whole answer numbers its calls by their place alone.
      const index = typeof piece?.index === "number" ? piece.index : position;
      if (!piece || !Number.isInteger(index) || index < 0 || index >= CALLS) throw garbage();
      const call = this.#callOf(index, piece);
      const { id, function: asked } = piece;
      if (typeof id === "string" && id !== "") call.id = id;
      if (typeof asked?.name === "string") call.name ||= asked.name;
      const text = argumentsOf(asked?.arguments);
      call.arguments += text;
      this.#chars += text.length;
      if (this.#chars > ARGUMENT_CHARS) throw garbage();
    }
  }

  /** In the order of their numbers; undefined when there are none. */
  calls(): ToolCall[] | undefined {
    if (this.#calls.length === 0) return undefined;
    const ordered = this.#calls.toSorted((a, b) => a.index - b.index);
    // Callers answer a call under its id, so one that the server forgot is given.
    return ordered.map(({ index: _, ...call }, n) => ({ ...call, id: call.id || `call_${n}` }));
  }

  /** The call that a piece belongs to; one of its own where the server numbers all calls alike. */
  #callOf(index: number, piece: Piece): Call {
    const last = this.#calls.findLast((call) => call.index === index);
    if (last && !beginsAnother(last, piece)) return last;
    if (this.#calls.length >= CALLS) throw garbage();
    const call = { index, id: "", name: "", arguments: "" };
    this.#calls.push(call);
    return call;
  }
}

/** Another name where one is known, under another id, or, without ids to tell by, after a whole call. */
function beginsAnother(call: Call, { id, function: asked }: Piece): boolean {
  if (!asked?.name || call.name === "" || (id && id === call.id)) return false;
  return id && call.id ? true : isJson(call.arguments);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Some servers send them as the object that they are. */
const argumentsOf = (said: unknown): string =>
  typeof said === "string" ? said : typeof said === "object" && said !== null ? JSON.stringify(said) : "";

const garbage = (): JetclawError =>
  new JetclawError("model.unavailable", "the answer holds something else than tool calls");
