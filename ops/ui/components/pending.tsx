/** A message that no turn has taken yet: on its way, queued, waiting for its next try, or not sent. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { discard, retry } from "../sending.ts";
import { strings } from "../store.ts";
import type { PendingMessage } from "../view.ts";
import { Mine } from "./turn.tsx";

export function Pending({ message }: { message: PendingMessage }) {
  const { id, delivery, text } = message;
  return (
    <div class="pending" data-state={delivery.state}>
      <Mine text={text} />
      {delivery.state === "sending" && <p class="delivery delivery-late">{strings.sending}</p>}
      {delivery.state === "waiting" && <Countdown until={delivery.until} />}
      {delivery.state === "failed" && (
        <p class="delivery delivery-bad" role="alert">
          <span>{strings.failed[delivery.reason]}</span>
          {delivery.reason === "too-long" || delivery.reason === "refused" ? (
            <button type="button" class="text-button" onClick={() => discard(id, true)}>
              {strings.edit}
            </button>
          ) : (
            <button type="button" class="text-button" onClick={() => retry(id)}>
              {strings.retry}
            </button>
          )}
          <button type="button" class="text-button" onClick={() => discard(id)}>
            {strings.discard}
          </button>
        </p>
      )}
    </div>
  );
}

function Countdown({ until }: { until: number }) {
  const now = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      now.value = Date.now();
    }, 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(1, Math.ceil((until - now.value) / 1_000));
  return <p class="delivery delivery-wait">{strings.waiting.replace("{s}", String(seconds))}</p>;
}
