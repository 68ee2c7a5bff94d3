/**
 * Speaks for the page. The log itself is silent (aria-live off): an answer that grows by the word would be read in
 * shreds. Here it is announced once it has begun, when it starts over, and in full at its end.
 */
import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { plainText } from "../marks.ts";
import { connection, strings, view } from "../store.ts";

interface Heard {
  turn: number;
  attempt: number;
}

export function Announcer() {
  const said = useSignal("");
  const heard = useRef<Heard | undefined>(undefined);
  const wasLost = useRef(false);

  useSignalEffect(() => {
    const latest = view.value.turns.at(-1);
    if (!latest) {
      // A new conversation: the last answer of the one before is not its beginning.
      said.value = "";
      heard.current = undefined;
      return;
    }
    const before = heard.current;
    if (!latest.closed) {
      const isNew = before?.turn !== latest.turn;
      if (isNew) said.value = strings.answering;
      else if (latest.restarted && before.attempt < latest.attempt) said.value = strings.startingOver;
      heard.current = { turn: latest.turn, attempt: latest.attempt };
    } else if (before?.turn === latest.turn) {
      // Only an answer whose beginning was announced: a transcript that is loaded is not read aloud.
      said.value = latest.outcome === "stopped" ? strings.stopped : plainText(latest.text);
      heard.current = undefined;
    }
  });

  useSignalEffect(() => {
    const isLost = connection.value === "reconnecting";
    if (isLost) said.value = strings.reconnecting;
    else if (wasLost.current && connection.value === "live") said.value = strings.reconnected;
    if (connection.value !== "connecting") wasLost.current = isLost;
  });

  return (
    <div class="hidden" role="status" aria-live="polite" aria-atomic="true">
      {said}
    </div>
  );
}
