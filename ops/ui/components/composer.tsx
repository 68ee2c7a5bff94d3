/** The input. Enter sends, Shift+Enter breaks the line; while an answer runs its place is shared with Stop. */
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { LIMITS } from "#contracts/limits.ts";
import { send } from "../sending.ts";
import { awaited, draft, notice, running, stop, stopping, strings, view } from "../store.ts";
import { SendIcon, StopIcon } from "./icons.tsx";

/** What `keyCode` is while an input method has the key. */
const COMPOSING = 229;

export function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = useSignal("");
  const canSend = text.value.trim() !== "";
  const isRunning = running.value !== undefined || awaited.value;

  // A message that has to be changed comes back here.
  useSignalEffect(() => {
    if (draft.value === "") return;
    text.value = draft.value;
    draft.value = "";
    field.current?.focus();
  });

  // A keyboard that slides up by itself hides half a phone; with a mouse, typing at once is what one wants.
  const { session } = view.value;
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [session]);

  useLayoutEffect(() => {
    const box = field.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight}px`;
  }, [text.value]);

  function submit(): void {
    const message = text.value.trim();
    if (message === "") return;
    send(message);
    text.value = "";
    field.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent): void {
    // Enter that ends a composition (Japanese, Chinese) chooses a word; it does not send. Safari says so by the code alone.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === COMPOSING) return;
    event.preventDefault();
    submit();
  }

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {notice.value && (
        <p class="notice" role="alert">
          {notice}
        </p>
      )}
      <div class="input">
        <textarea
          ref={field}
          rows={1}
          maxLength={LIMITS.messageTextChars}
          value={text.value}
          placeholder={strings.placeholder}
          aria-label={strings.inputLabel}
          aria-describedby="input-hint"
          enterkeyhint="send"
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
          onKeyDown={onKeyDown}
        />
        {isRunning && (
          <button
            type="button"
            class="round-button round-button-stop"
            onClick={() => void stop()}
            disabled={stopping.value}
            aria-label={strings.stop}
            title={strings.stop}
          >
            <StopIcon />
          </button>
        )}
        {(canSend || !isRunning) && (
          <button
            type="submit"
            class="round-button"
            disabled={!canSend}
            aria-label={strings.send}
            title={strings.send}
          >
            <SendIcon />
          </button>
        )}
      </div>
      <p class="hint" id="input-hint">
        {strings.inputHint}
      </p>
    </form>
  );
}
