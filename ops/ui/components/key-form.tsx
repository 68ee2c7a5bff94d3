/** Asks for an API key where the gateway refuses the one the page has. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { giveKey } from "../sending.ts";
import { keyTried, strings } from "../store.ts";

export function KeyForm() {
  const field = useRef<HTMLInputElement>(null);
  const value = useSignal("");
  useEffect(() => field.current?.focus(), []);
  const isWrong = keyTried.value;
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (value.value.trim() !== "") giveKey(value.value.trim());
      }}
    >
      <h2>{strings.keyTitle}</h2>
      <p id="key-text">{strings.keyText}</p>
      <label for="key">{strings.keyLabel}</label>
      <div class="key-row">
        <input
          id="key"
          ref={field}
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={value.value}
          aria-describedby={isWrong ? "key-text key-wrong" : "key-text"}
          aria-invalid={isWrong}
          onInput={(event) => {
            value.value = event.currentTarget.value;
          }}
        />
        <button type="submit" class="solid-button">
          {strings.keyUse}
        </button>
      </div>
      {isWrong && (
        <p class="note note-bad" id="key-wrong" role="alert">
          {strings.keyWrong}
        </p>
      )}
    </form>
  );
}
