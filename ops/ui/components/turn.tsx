/** One turn: what was asked, what was answered. Rendered again only when the turn itself changed. */
import { useMemo } from "preact/hooks";
import { strings } from "../store.ts";
import type { TurnView } from "../view.ts";
import { Answer } from "./answer.tsx";

export function Turn({ turn }: { turn: TurnView }) {
  return useMemo(
    () => (
      <div class="turn" data-turn={turn.turn}>
        {turn.messages.map((message) => (
          <Mine key={message.id} text={message.text} />
        ))}
        <Answer turn={turn} />
      </div>
    ),
    [turn],
  );
}

export function Mine({ text }: { text: string }) {
  return (
    <div class="mine">
      <span class="hidden">{strings.you}: </span>
      <p>{text}</p>
    </div>
  );
}
