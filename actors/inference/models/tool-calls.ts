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

export class ToolCallReader {
  readonly #calls = new Map<number, { id: string; name: string; arguments: string }>();
  #chars = 0;

  /** @throws JetclawError `model.unavailable` for what is no piece of a call */
  read(pieces: unknown): void {
    if (pieces === undefined || pieces === null) return;
    if (!Array.isArray(pieces)) throw garbage();
    for (const [position, piece] of (pieces as (Piece | null)[]).entries()) {
      // A whole answer numbers its calls by their place alone.
      const index = typeof piece?.index === "number" ? piece.index : position;
      if (!piece || !Number.isInteger(index) || index < 0 || index >= CALLS) throw garbage();
      const call = this.#calls.get(index) ?? { id: "", name: "", arguments: "" };
      if (typeof piece.id === "string" && piece.id !== "") call.id = piece.id;
      if (typeof piece.function?.name === "string") call.name ||= piece.function.name;
      if (typeof piece.function?.arguments === "string") {
        call.arguments += piece.function.arguments;
        this.#chars += piece.function.arguments.length;
      }
      if (this.#chars > ARGUMENT_CHARS) throw garbage();
      this.#calls.set(index, call);
    }
  }

  /** In the order of their numbers; undefined when there are none. */
  calls(): ToolCall[] | undefined {
    if (this.#calls.size === 0) return undefined;
    const ordered = [...this.#calls].sort(([a], [b]) => a - b);
    // Callers answer a call under its id, so one that the server forgot is given.
    return ordered.map(([index, call]) => ({ ...call, id: call.id || `call_${index}` }));
  }
}

const garbage = (): JetclawError =>
  new JetclawError("model.unavailable", "the answer holds something else than tool calls");
